"""The command line, from folders of images to labels."""

import csv
import json
import re
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from dacbn import cli
from dacbn.norms import norms
from dacbn.training import read_records

FAST = ["--steps", "4", "--source-batch-size", "4", "--target-batch-size", "4"]
FAST += ["--log-every", "2", "--checkpoint-every", "2", "--device", "cpu"]
PHOTOS = [*FAST, "--image-size", "32"]


@pytest.fixture(scope="module")
def dacbn():
    """Type a command; returns its exit status."""

    def run(*arguments):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, arguments)])
            try:
                cli.main()
            except SystemExit as stop:
                return stop.code or 0
        return 0

    return run


def write_photos(folder, count, seed):
    """Write images of many sizes, grey and in colour, as PNG and as JPEG."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = random.integers(0, 256, (20 + number, 33, 3)).astype(np.uint8)
        image = Image.fromarray(pixels if number % 2 else pixels[..., 0])
        image.save(folder / f"{number}.{'jpg' if number % 3 else 'png'}")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for seed, (folder, count) in enumerate(
        [("amazon/cup", 8), ("amazon/pen", 7), ("webcam/cup", 6), ("webcam/pen", 6), ("new", 5)]
    ):
        write_photos(root / folder, count, seed)
    broken = root / "webcam" / "pen" / "cut.jpg"
    broken.write_bytes((root / "amazon" / "pen" / "1.jpg").read_bytes()[:300])
    return root


@pytest.fixture(scope="module")
def run(dacbn, photos):
    folder, shown = photos / "run", []
    with pytest.MonkeyPatch.context() as monkeypatch, warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(cli, "_show_warning", lambda message, *_, **__: shown.append(message))
        domains = ("--source", photos / "amazon", "--target", photos / "webcam")
        assert dacbn("train", *domains, "--run", folder, *PHOTOS) == 0
    assert re.search(r"cut\.jpg \(.+\); skipped", str(shown[0]))
    return folder


def test_a_run_from_folder_to_folder_leaves_its_records(run):
    rows = read_records(run)
    assert [row["step"] for row in rows] == [2, 4, 4]
    assert rows[-1].keys() >= {"source_test_accuracy", "target_test_accuracy"}
    card = json.loads((run / "config.json").read_text())
    assert card["classes"] == ["cup", "pen"] and card["image_size"] == 32


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_evaluation_repeats_the_scores_of_the_training(dacbn, run, capsys):
    assert dacbn("evaluate", run, "--device", "cpu") == 0
    scores = json.loads((run / "evaluation.json").read_text())
    last = read_records(run)[-1]
    for name in ("source_test_accuracy", "target_test_class_accuracy"):
        assert scores[name] == pytest.approx(last[name])
    accuracy = f"target test: accuracy {scores['target_test_accuracy']:.1%} ("
    assert accuracy in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_an_evaluation_can_recalibrate_first(dacbn, run, capsys):
    weights = (run / "model.safetensors").read_bytes()
    assert dacbn("evaluate", run, "--device", "cpu") == 0
    plain = json.loads((run / "evaluation.json").read_text())
    assert dacbn("evaluate", run, "--recalibrate", "--device", "cpu") == 0
    recalibrated = json.loads((run / "evaluation.json").read_text())
    assert recalibrated["recalibrated"] and not plain["recalibrated"]
    assert recalibrated["source_test_accuracy"] == plain["source_test_accuracy"]
    assert recalibrated["before"] == {name: plain[name] for name in recalibrated["before"]}
    assert recalibrated["after"]["target_test_accuracy"] == recalibrated["target_test_accuracy"]
    assert recalibrated["after"].keys() == recalibrated["before"].keys()
    assert (run / "model.safetensors").read_bytes() == weights


def test_another_target_can_be_evaluated(dacbn, run, photos, capsys):
    assert dacbn("evaluate", run, "--target", photos / "amazon", "--device", "cpu") == 0
    scores = json.loads((run / "evaluation.json").read_text())
    assert scores["target"] == str(photos / "amazon")
    assert dacbn("evaluate", run, "--target", photos / "new", "--device", "cpu") == 0
    assert f"use dacbn predict {run} {photos / 'new'}" in capsys.readouterr().out


def read_table(text):
    return [(row["path"], row["label"], float(row["confidence"])) for row in csv.DictReader(text)]


def test_predictions_are_a_table_of_paths_labels_and_confidences(dacbn, run, photos, capsys):
    assert dacbn("predict", run, photos / "new", photos / "webcam/cup/0.png") == 0
    rows = read_table(capsys.readouterr().out.splitlines())
    paths = [*sorted((photos / "new").iterdir()), photos / "webcam/cup/0.png"]
    assert [row[0] for row in rows] == list(map(str, paths))
    assert {row[1] for row in rows} <= {"cup", "pen"}
    assert all(0.5 <= row[2] <= 1 for row in rows)


def test_predictions_can_be_written_to_a_file(dacbn, run, photos, tmp_path, capsys):
    assert dacbn("predict", run, photos / "new") == 0
    printed = capsys.readouterr().out
    table = tmp_path / "deeper" / "labels.csv"
    assert dacbn("predict", run, photos / "new", "--output", table) == 0
    assert table.read_text() == printed
    assert capsys.readouterr().out == f"wrote {table}\n"


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_broken_images_have_a_row_with_the_reason_unless_refused(dacbn, run, photos, capsys):
    assert dacbn("predict", run, photos / "webcam") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["path"] for row in rows] == sorted(map(str, (photos / "webcam").glob("*/*")))
    (broken,) = [row for row in rows if row["error"]]
    assert broken["path"].endswith("cut.jpg") and "Truncated" in broken["error"]
    assert broken["label"] == broken["confidence"] == ""
    assert dacbn("predict", run, photos / "webcam", "--on-unreadable", "raise") == 1
    assert "cut.jpg" in capsys.readouterr().err


def test_warnings_are_one_line_without_source_code(capsys):
    cli._show_warning(UserWarning("1 image is unreadable"), UserWarning, "file.py", 3)
    assert capsys.readouterr().err == "dacbn: warning: 1 image is unreadable\n"


def test_a_flat_folder_without_labels_is_a_target(dacbn, photos, tmp_path, capsys):
    domains = ("--source", photos / "amazon", "--target", photos / "new")
    assert dacbn("train", *domains, "--run", tmp_path / "run", *PHOTOS) == 0
    output = capsys.readouterr().out
    assert "source test: accuracy" in output and "target test" not in output


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_a_labelled_target_is_scored_beside_one_without_labels(dacbn, photos, tmp_path, capsys):
    targets = (photos / "webcam", photos / "new")
    domains = ("--source", photos / "amazon", "--target", *targets)
    assert dacbn("train", *domains, "--run", tmp_path / "run", *PHOTOS) == 0
    output = capsys.readouterr().out
    assert f"{photos / 'new'} is a flat folder without labels: it is not scored" in output
    assert re.search(r"target test: accuracy .* images, chance .*\n  webcam: ", output)
    assert "target_test_accuracy/webcam" in read_records(tmp_path / "run")[-1]


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_analysis_writes_figures_and_the_numbers_behind_them(dacbn, run, capsys):
    assert dacbn("analyse", run, "--device", "cpu") == 0
    assert f"report: {run / 'report.html'}\n" in capsys.readouterr().out
    with np.load(run / "figures" / "curves.npz") as arrays:
        rows = read_records(run)
        for name in arrays.files:
            assert arrays[name].tolist() == [[r["step"], r[name]] for r in rows if name in r]


def test_curves_are_drawn_though_the_images_have_moved(dacbn, run, tmp_path, capsys):
    moved = tmp_path / "run"
    moved.mkdir()
    for name in ("metrics.jsonl", "config.json"):
        text = (run / name).read_text()
        (moved / name).write_text(text.replace("amazon", "elsewhere"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert dacbn("analyse", moved) == 0
    output, errors = capsys.readouterr()
    assert (moved / "figures" / "curves.png").exists() and len(errors.splitlines()) == 1
    assert "Target: " in output and (moved / "report.html").exists()
    assert errors.startswith("dacbn: warning: cannot show the images: ")
    assert "elsewhere does not exist" in errors


def test_new_runs_get_names_of_their_own(dacbn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = ("--steps", "1", *FAST[2:], "--norm", "None", "--method", "source_only")
    for _ in range(2):
        assert dacbn("train", *short) == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    name = "digits-color_digits-source_only-own_norms-seed0"
    assert names == [name, f"{name}-2"]
    assert f"next: dacbn evaluate runs/{name}-2" in capsys.readouterr().out


def test_lists_name_all_there_is(dacbn, capsys):
    assert dacbn("list") == 0
    output = capsys.readouterr().out
    for word in ("norms:", "ucb_norm", "methods:", "dann", "datasets:", "mnist", "backbones:"):
        assert word in output
    assert dacbn("list", "methods") == 0
    assert "ucb_norm" not in capsys.readouterr().out


def test_the_list_of_norms_has_options_papers_and_needs(dacbn, capsys):
    assert dacbn("list", "norms") == 0
    output = capsys.readouterr().out
    for name in norms:
        assert f"\n  {name} " in output
    block = output[output.index("\n  scb_norm ") : output.index("\n  scb_norm_base ")]
    assert "options: num_clusters=2" in block and "needs: cluster ids" in block
    assert "paper: Faye, Azzag" in block and "2403.16798" in block
    assert max(map(len, output.splitlines())) <= 130


def test_help_names_every_command_and_every_setting(dacbn, capsys):
    assert dacbn("--help") == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ("train", "evaluate", "predict", "analyse", "list"))
    assert dacbn("train", "--help") == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ("--source", "--norm", "--resume", "--ema-decay"))
