"""A comparison is trained cell by cell, goes on where it was stopped, and survives its cells."""

import re
import shutil
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dacbn.adapter
from dacbn import cli
from dacbn.comparison import choose_variants, make_grid, run_comparison
from dacbn.training import DivergedError, StorageError, TrainConfig, read_records

NORMS, METHODS = ["batch_norm", "ucb_norm(num_clusters=2)"], ["source_only", "dann"]
OPTIONS = {
    **{"steps": 2, "source_batch_size": 4, "target_batch_size": 4, "image_size": 32},
    **{"log_every": 1, "checkpoint_every": 1, "eval_every": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for folder, light in (("a/cup", 60), ("a/pen", 0), ("b/cup", 90), ("b/pen", 30)):
        (root / folder).mkdir(parents=True)
        for number in range(6):
            pixels = (random.integers(0, 150, (32, 32, 3)) + light).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


@pytest.fixture
def trainings(monkeypatch):
    """Record every training that starts; a step can be given something to raise before it."""
    started, errors, train = [], {}, dacbn.adapter.train

    def counted(state, stream, config, *rest):
        started.append((config.norm.partition("(")[0], config.method, config.seed, state.step))
        error = errors.get(started[-1][:3]) or errors.get(len(started))
        if error is not None:
            raise error
        train(state, stream, config, *rest)

    monkeypatch.setattr(dacbn.adapter, "train", counted)
    counted.started, counted.errors = started, errors
    return counted


@pytest.fixture
def compare(photos, tmp_path):
    def run(norms=NORMS, methods=METHODS, seeds=1, folder=tmp_path / "out", **options):
        domains = {"source": str(photos / "a"), "target": str(photos / "b")}
        config = TrainConfig(**{**OPTIONS, **domains, **options})
        cells = make_grid(config, choose_variants(norms, methods), seeds)
        return run_comparison(folder, config, cells)

    return run


def text_of(tmp_path):
    return (tmp_path / "out" / "comparison.md").read_text()


def test_every_cell_is_a_run_and_none_is_trained_twice(compare, trainings, tmp_path):
    results = compare(seeds=2)
    assert len(trainings.started) == 8 and {result.state for result in results} == {"finished"}
    for result in results:
        folder = tmp_path / "out" / "runs" / result.cell.name
        last = read_records(folder)[-1]
        assert result.accuracies["last"] == last["target_test_accuracy"]
        assert result.scores["bnm"] == last["validator_bnm"] and result.seconds > 0
    before = text_of(tmp_path)
    assert compare(seeds=2) == results and len(trainings.started) == 8
    assert text_of(tmp_path) == before


def test_a_comparison_that_was_killed_trains_only_what_is_missing(compare, trainings, tmp_path):
    trainings.errors[3] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        compare()
    assert "4 cells: 2 finished, 2 missing." in text_of(tmp_path)
    trainings.errors.clear()
    compare()
    assert [start[:2] for start in trainings.started[3:]] == [
        ("batch_norm", "dann"),
        ("ucb_norm", "dann"),
    ]
    assert "4 cells: 4 finished." in text_of(tmp_path)


def test_a_cell_that_was_killed_goes_on_from_its_checkpoint(compare, trainings, monkeypatch):
    import dacbn.training.loop as loop

    def save_and_die(folder, state):
        save(folder, state)
        raise KeyboardInterrupt

    save = loop.save_checkpoint
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", save_and_die)
        compare(NORMS[:1], METHODS[:1])
    (result,) = compare(NORMS[:1], METHODS[:1])
    assert [start[3] for start in trainings.started] == [0, 1]
    assert result.state == "finished"


def test_a_cell_that_fails_is_told_and_stops_no_other(compare, trainings, tmp_path):
    trainings.errors["batch_norm", "dann", 0] = DivergedError("the domain loss became nan at 1")
    trainings.errors["ucb_norm", "source_only", 0] = RuntimeError("out of memory\nand more")
    results = compare()
    assert [result.state for result in results] == ["finished", "failed", "failed", "finished"]
    text = text_of(tmp_path)
    assert "4 cells: 2 finished, 2 failed." in text
    assert "- `dann-batch_norm-seed0`: the domain loss became nan at 1\n" in text
    assert "num_clusters=2-seed0`: out of memory\n" in text
    trainings.errors.clear()
    assert {result.state for result in compare()} == {"finished"}
    assert len(trainings.started) == 6 and "Failed" not in text_of(tmp_path)


def test_a_full_disk_stops_the_comparison(compare, trainings):
    trainings.errors[1] = StorageError(Path("x"), OSError("disk"))
    with pytest.raises(StorageError):
        compare()
    assert len(trainings.started) == 1


def test_a_larger_grid_keeps_what_is_trained(compare, trainings):
    compare(NORMS[:1], METHODS[:1])
    assert len(compare(seeds=2)) == 8
    assert len(trainings.started) == len(set(trainings.started)) == 8


@pytest.mark.parametrize(
    ("lost", "from_step"),
    [(["model.safetensors"], 2), (["model.safetensors", "checkpoint.pt"], 0)],
)
def test_lost_weights_are_made_again(compare, trainings, tmp_path, lost, from_step):
    (result,) = compare(NORMS[:1], METHODS[:1])
    folder = tmp_path / "out" / "runs" / result.cell.name
    before = (folder / "model.safetensors").read_bytes()
    for name in lost:
        (folder / name).unlink()
    assert compare(NORMS[:1], METHODS[:1])[0].state == "finished"
    assert [start[3] for start in trainings.started] == [0, from_step]
    assert (folder / "model.safetensors").read_bytes() == before


def test_lost_records_are_told(compare, tmp_path):
    (result,) = compare(NORMS[:1], METHODS[:1])
    metrics = tmp_path / "out" / "runs" / result.cell.name / "metrics.jsonl"
    metrics.write_text(metrics.read_text().splitlines(keepends=True)[0])
    (result,) = compare(NORMS[:1], METHODS[:1])
    assert result.state == "failed" and result.accuracies == {}
    assert "its records end before step 2: delete" in text_of(tmp_path)


def test_other_settings_in_the_same_folder_are_refused(compare, trainings, tmp_path):
    compare(NORMS[:1], METHODS[:1])
    with pytest.raises(ValueError, match=r"out holds a comparison with another steps, lr: use its"):
        compare(steps=3, lr=0.5)
    compare(NORMS[:1], METHODS[:1], log_every=2, checkpoint_every=0)  # change no result
    assert len(trainings.started) == 1
    (tmp_path / "out" / "comparison.json").write_text("{")
    with pytest.raises(ValueError, match=r"cannot read .*comparison\.json"):
        compare()


def test_cells_of_a_version_with_other_defaults_go_on_and_are_named(
    compare, trainings, tmp_path, caplog
):
    trainings.errors[1] = StorageError(Path("disk"), OSError(28, "full"))
    with pytest.raises(StorageError):
        compare(NORMS[:1], METHODS[:1])
    (config,) = tmp_path.glob("out/runs/*/config.json")
    assert '"warmup": 0.0' in config.read_text()
    config.write_text(config.read_text().replace('"warmup": 0.0', '"warmup": 0.5'))
    (result,) = compare(NORMS[:1], METHODS[:1])
    assert result.state == "finished" and '"warmup": 0.5' in config.read_text()
    assert "began with warmup=0.5, the default of another version, and new cells" in caplog.text


def test_a_setting_spelled_otherwise_is_the_same(compare, trainings, tmp_path):
    compare(NORMS[:1], METHODS[:1], input_norm="instance_norm(eps=0.001)")
    settings = tmp_path / "out" / "comparison.json"
    settings.write_text(settings.read_text().replace("(eps=0.001)", "( eps=1e-3 )"))
    compare(NORMS[:1], METHODS[:1], input_norm="instance_norm(eps=1e-3)")
    assert len(trainings.started) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norms": ["ucb_norm(colour=2)"]}, "has no option 'colour'"),
        ({"norms": ["batch_norm", "ubc_norm"]}, "unknown norm 'ubc_norm'"),
        ({"methods": ["dann", "dan(weigth=1)"]}, "has no option 'weigth'"),
        ({"methods": ["shot"]}, "adapts a trained network"),
        ({"norms": ["ucb_norm(num_clusters=99)"]}, "num_clusters=99 exceeds the 8 images"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"validators": ("bmn",)}, "unknown validator"),
        ({"target": "nowhere"}, "unknown dataset 'nowhere'"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(compare, trainings, options, message):
    with pytest.raises(ValueError, match=message):
        compare(**options)
    assert trainings.started == []


def test_a_target_without_labels_is_refused(compare, photos):
    with pytest.raises(
        ValueError, match="has no labels, and a comparison reports target accuracies"
    ):
        compare(target=str(photos / "b" / "cup"))


def command(monkeypatch, photos, *words):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    domains = ["--source", str(photos / "a"), "--target", str(photos / "b")]
    monkeypatch.setattr(sys, "argv", ["dacbn", "compare", *domains, *options, *map(str, words)])
    cli.main()


def test_the_command_compares_and_shows_the_tables(monkeypatch, photos, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--output", out, "--norms", *NORMS, "--methods", "source_only", "--seeds", 1]
    command(monkeypatch, photos, *words, "--controls")
    shown = capsys.readouterr().out
    assert "7 trainings\n" in shown and "(control: frozen gates)" in shown
    assert "## How well validators rank networks" in shown and "dacbn train" not in shown
    assert {path.name for path in out.iterdir()} == {
        *("comparison.md", "comparison.csv", "comparison.tex", "comparison.json", "runs")
    }


def test_a_pipe_gets_a_line_for_each_cell_and_each_warning_once(
    monkeypatch, photos, trainings, tmp_path, capsys
):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "b" / "cup" / "cut.png").write_bytes(b"no image")
    trainings.errors[2] = ValueError("it\x1b[31m failed")
    words = ["--output", tmp_path / "out", "--norms", "batch_norm", "--methods", *METHODS]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        command(monkeypatch, tmp_path / "photos", *words, "--seeds", 2)
    shown = capsys.readouterr()
    lines = [line for line in shown.out.splitlines() if line.startswith("cell ")]
    assert [line[:12] for line in lines] == [f"cell {n} of 4:" for n in "11223344"]
    score = r"[\d.]+% \([\d.]+ to [\d.]+; \d images, chance 50.0%\)"
    assert re.fullmatch(rf"cell 1 of 4: target accuracy {score}, \d+ (s|min) left", lines[1])
    assert "failed (it\\x1b[31m failed)" in lines[3]
    assert shown.err.count("1 image is unreadable") == 1


def test_ctrl_c_says_how_to_go_on(monkeypatch, photos, trainings, tmp_path, capsys):
    stopped = dacbn.adapter.InterruptedTraining("stopped after step 1", signal.SIGUSR1)
    trainings.errors[2] = stopped
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, photos, "--output", tmp_path / "out", "--seeds", 1)
    assert stop.value.code == 128 + signal.SIGUSR1
    assert "Continue with the same command" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--norm=batch_norm", "--method=cdan"])
def test_a_single_norm_or_method_is_refused(monkeypatch, photos, tmp_path, capsys, option):
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, photos, "--output", tmp_path / "out", option)
    assert stop.value.code == 1
    name = option.partition("=")[0]
    assert f"write {name}s instead of {name}" in capsys.readouterr().err
