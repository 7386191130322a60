"""Run folders on the command line: their names, what is written where, and how runs go on."""

import csv
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dacbn import cli
from dacbn.adapter import DomainAdapter
from dacbn.commands.cells import to_cell
from dacbn.training import (
    RunFolderError,
    StorageError,
    TrainConfig,
    claim,
    load_checkpoint,
    read_run_info,
)

FAST = ["--steps", "2", "--source-batch-size", "4", "--target-batch-size", "4"]
FAST += ["--device", "cpu", "--log-every", "1", "--image-size", "32"]


def dacbn(*arguments):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, arguments)])
        cli.main()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two domains, whose class names are formulas, and a run from one to the other."""
    root, random = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    for folder in ("s/=1+1", "s/@x", "t/=1+1", "t/@x"):
        (root / folder).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    dacbn("train", *FAST, "--source", root / "s", "--target", root / "t", "--run", root / "made")
    return root


@pytest.fixture
def run(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "made", "run")
    return Path("run")


def test_a_training_that_cannot_start_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        dacbn("train", *FAST, "--source", "nowhere/at/all")
    assert os.listdir() == []


def test_a_second_training_of_the_same_name_takes_the_next(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    domains = ("--source", place / "s", "--target", place / "t")
    for seed in (0, 0):
        dacbn("train", *FAST, *domains, "--seed", seed)
    first = "s-t-dann-ucb_norm-seed0"
    assert sorted(os.listdir("runs")) == [first, f"{first}-2"]


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--resume", "run"),
        ("train", *FAST, "--run", "run"),
        ("adapt", "run", "--output", "other"),
        ("compare", *FAST, "--output", "other", "--seeds", 1),
    ],
    ids=lambda words: words[0],
)
def test_a_folder_at_work_is_said_to_be(run, words, capsys):
    if "--run" in words:
        (run / "config.json").unlink()
    with claim(run), claim(Path("other")), pytest.raises(SystemExit) as stop:
        dacbn(*words)
    assert stop.value.code == 1
    assert "is in use by another process: wait until it ends" in capsys.readouterr().err


def test_a_run_is_resumed_to_more_steps(run):
    dacbn("train", "--resume", run, "--steps", 4)
    assert load_checkpoint(run)["step"] == 4 and read_run_info(run).config.steps == 4


def test_a_run_is_resumed_to_as_many_steps_as_a_training_has_by_default(run, monkeypatch):
    """It was left as it was, as if --steps were not given."""
    asked = []
    monkeypatch.setattr(
        sys.modules["dacbn.commands.train"], "_fit", lambda adapter, *_, **__: asked.append(adapter)
    )
    dacbn("train", "--resume", run, "--steps", TrainConfig.steps)
    dacbn("train", "--resume", run)
    assert [adapter.config.steps for adapter in asked] == [TrainConfig.steps, 2]


def test_settings_beside_resume_are_refused_by_the_names_that_are_given(run, capsys):
    """Those with the default value were ignored, and those that weights imply were named too."""
    words = ["--weights=w.pth", "--method", "dann", "--source_batch_size", 64]
    with pytest.raises(SystemExit):
        dacbn("train", "--resume", run, *words, "--steps", 9)
    options = "--weights, --method, --source-batch-size\n"
    assert capsys.readouterr().err.endswith(f"run's own settings: leave out {options}")


def test_an_adaptation_is_resumed_to_more_steps(run):
    dacbn("adapt", run, "--output", "out", "--steps", 2)
    dacbn("train", "--resume", "out", "--steps", 3)
    assert load_checkpoint(Path("out"))["step"] == 3


def test_lost_weights_are_written_anew_by_resuming(run, capsys):
    before = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()
    with pytest.raises(SystemExit):
        dacbn("evaluate", run)
    assert f"dacbn train --resume {run}" in capsys.readouterr().err
    dacbn("train", "--resume", run)
    assert (run / "model.safetensors").read_bytes() == before
    dacbn("evaluate", run)


def test_a_finished_run_without_checkpoint_is_not_trained_again(run, capsys):
    """It was, from step 0, over its whole weights."""
    (run / "checkpoint.pt").unlink()
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    dacbn("train", "--resume", run)
    shown = capsys.readouterr().out
    assert f"{run} is finished, and its weights are whole" in shown and "writing" not in shown
    assert f"next: dacbn evaluate {run}" in shown and "target test: accuracy" in shown
    with pytest.raises(SystemExit):
        dacbn("train", "--resume", run, "--steps", 4)
    assert "has lost its checkpoint.pt: it is finished" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    adapter = DomainAdapter.from_run(run)
    adapter.fit(adapter.config.source, adapter.config.target, run=run, resume=True)
    assert adapter.network.training is False and adapter.records[-1]["step"] == 2


def test_a_finished_adaptation_without_checkpoint_is_not_begun_again(run, capsys):
    dacbn("adapt", run, "--output", "out", "--steps", 2)
    Path("out/checkpoint.pt").unlink()
    before = Path("out/model.safetensors").read_bytes()
    dacbn("train", "--resume", "out")
    assert "out is finished, and its weights are whole" in capsys.readouterr().out
    assert Path("out/model.safetensors").read_bytes() == before


def test_an_unfinished_run_without_checkpoint_begins_again(run):
    rows = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text(rows[0] + "\n")
    (run / "checkpoint.pt").unlink()
    dacbn("train", "--resume", run)
    assert load_checkpoint(run)["step"] == 2


@pytest.mark.parametrize(
    "words",
    [
        "train --method dannn",
        "train --device gpu",
        "train --source no/where",
        "train --norm ucb_norm(num_clusters=999)",
        "adapt run --target no/where",
        "compare --output c --seeds 1 --device gpu",
        "compare --output c --seeds 1 --source no/where",
    ],
)
def test_nothing_is_said_to_be_written_before_all_is_checked(run, words, capsys):
    with pytest.raises(SystemExit):
        dacbn(*words.split())
    shown = capsys.readouterr()
    assert "writing" not in shown.out and "dacbn: " in shown.err
    assert {path.name for path in Path().iterdir()} == {"run"}


def kill_at(monkeypatch, name):
    """End an adaptation at the first call of a function of dacbn.adapter."""

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"dacbn.adapter.{name}", die)


@pytest.mark.parametrize("name", ["save_checkpoint", "write_run_info", "train"])
def test_an_adaptation_that_was_killed_at_its_beginning_goes_on(run, monkeypatch, name):
    words = ("adapt", run, "--steps", 2)
    dacbn(*words, "--output", "whole")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        kill_at(patch, name)
        dacbn(*words, "--output", "out")
    if name == "train":  # from here on, the run that it adapts is not needed
        dacbn("train", "--resume", "out")
    else:
        dacbn(*words, "--output", "out")
    files = [Path(folder, "model.safetensors").read_bytes() for folder in ("whole", "out")]
    assert files[0] == files[1]


def test_an_adaptation_of_an_older_version_without_checkpoint_begins_anew(run):
    words = ("adapt", run, "--steps", 2, "--output", "out")
    dacbn(*words)
    before = Path("out/model.safetensors").read_bytes()
    for name in ("model.safetensors", "checkpoint.pt"):
        Path("out", name).unlink()
    with pytest.raises(RunFolderError, match="adapt again, into the same folder"):
        adapter = DomainAdapter.from_run("out")
        adapter.adapt(adapter.config.target, run="out", resume=True)
    dacbn(*words)
    assert Path("out/model.safetensors").read_bytes() == before


def test_what_would_be_a_formula_is_text_in_the_table(run, place, capsys):
    dacbn("predict", run, place / "t")
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["label"] for row in rows} <= {"'=1+1", "'@x"} and len(rows) == 12


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("+1", "'+1"),
        ("-x", "'-x"),
        ("-1.5", "-1.5"),
        ("a=b", "a=b"),
        ("a\x1b[2J\n.png", "a\\x1b[2J\\n.png"),
        ("\t=1", "\\t=1"),
        ("b\udcff.png", "b\\udcff.png"),
        ("猫 é", "猫 é"),
    ],
)
def test_cells_can_be_shown_anywhere(text, cell):
    assert to_cell(text) == cell


def test_predict_writes_into_a_pipe_and_through_a_link(run, place, capsys):
    os.mkfifo("pipe")
    Path("real.csv").write_text("old")
    Path("link.csv").symlink_to("real.csv")
    got = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe").read_text()))
    reader.start()
    dacbn("predict", run, place / "t", "--output", "pipe")
    reader.join()
    dacbn("predict", run, place / "t", "--output", "link.csv")
    assert got == [Path("real.csv").read_text()]
    assert got[0].startswith("path,label,confidence,error\n")
    assert Path("link.csv").is_symlink() and Path("pipe").is_fifo()


@pytest.mark.filterwarnings("default:evaluation.json")
def test_scores_of_a_read_only_run_are_shown(run, monkeypatch, capsys):
    def refuse(path, content):
        raise StorageError(path, PermissionError(13, "Permission denied"))

    monkeypatch.setattr(sys.modules["dacbn.commands.evaluate"], "write_json", refuse)
    dacbn("evaluate", run)
    shown = capsys.readouterr()
    assert "target test: accuracy" in shown.out
    assert "evaluation.json is not written: run is read-only" in shown.err


@pytest.mark.filterwarnings("ignore:the source is not scored. it was given as arrays")
@pytest.mark.parametrize("command", ["evaluate", "adapt"])
def test_a_run_from_arrays_asks_for_its_target(run, place, command, capsys):
    content = json.loads((run / "config.json").read_text())
    content["training"] |= {"source": "in memory", "target": "in memory"}
    (run / "config.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        dacbn(command, run)
    assert "run was trained from arrays: pass --target" in capsys.readouterr().err
    dacbn(command, run, "--target", place / "t", *(["--steps", 1] if command == "adapt" else []))
    assert "target test: accuracy" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        dacbn("train", "--resume", run)
    assert "run was trained from arrays: resume it in Python" in capsys.readouterr().err
