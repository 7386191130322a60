"""Estimates without labels, and baselines, in `dacbn evaluate` and `dacbn predict --summary`."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.intervals import paired, wilson
from dacbn.training.against import compare_right


def fill(folder, negative, seed, flat=False):
    """Write dark and bright photos; bright ones are pens."""
    drawn = np.random.default_rng(seed)
    for name in ("cup", "pen"):
        home = folder if flat else folder / name
        home.mkdir(parents=True, exist_ok=True)
        for number in range(40):
            pixels = drawn.integers(0, 150, (32, 32, 3)) + 100 * (name == "pen")
            pixels = (255 - pixels if negative else pixels).astype(np.uint8)
            Image.fromarray(pixels).save(home / f"{name}{number}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two runs of different steps, and a target with and without labels."""
    root = tmp_path_factory.mktemp("estimates")
    fill(root / "s", False, 0)
    fill(root / "t", True, 1)
    fill(root / "flat", True, 1, flat=True)
    for name, target, seed in (("run", "t", 0), ("again", "t", 1), ("unlabelled", "flat", 0)):
        adapter = DomainAdapter(
            norm="batch_norm", method="source_only", steps=6, image_size=32, device="cpu", seed=seed
        )
        adapter.fit(root / "s", root / target, source_test=root / "s", run=root / name)
    return root


@pytest.fixture
def dacbn(place, monkeypatch, capsys):
    def run(*words, code=0):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, words), "--device", "cpu"])
        try:
            cli.main()
        except SystemExit as stop:
            assert stop.code == code, capsys.readouterr().err
        return capsys.readouterr()

    return run


def test_evaluate_prints_images_interval_chance_and_an_estimate(dacbn, place):
    shown = dacbn("evaluate", "run").out
    written = json.loads((place / "run" / "evaluation.json").read_text())
    accuracy, count = written["target_test_accuracy"], written["target_test_images"]
    low, high = (100 * each for each in wilson(accuracy, count))
    between = rf"accuracy {100 * accuracy:.1f}% \({low:.1f} to {high:.1f}\), mean of classes"
    assert re.search(rf"target test: {between} .*; {count:.0f} images, chance 50.0%", shown)
    assert written["chance"] == 0.5
    assert written["intervals"]["target_test_accuracy"] == pytest.approx(wilson(accuracy, count))
    (found,) = written["estimated"].values()
    assert set(found["by"]) == {"atc", "cot", "doc"} and found["images"] == 80
    if found["cannot_tell"]:
        assert "cannot tell from 80 images without labels: " in shown and found["low"] is None
    else:
        assert "without labels, of 80 images (atc " in shown


def test_a_second_training_and_a_baseline_are_compared(dacbn, place):
    shown = dacbn("evaluate", "run", "--second", "again", "--baseline", "again").out
    written = json.loads((place / "run" / "evaluation.json").read_text())
    (found,) = written["estimated"].values()
    assert "gde" in found["by"]
    (against,) = written["baseline"].values()
    adapters = [DomainAdapter.from_pretrained(place / name, "cpu") for name in ("run", "again")]
    ours, theirs = (adapter.score(place / "t") for adapter in adapters)
    assert against["difference"] == pytest.approx(ours - theirs)
    assert against["interval"][0] <= ours - theirs <= against["interval"][1]
    assert f"against source_only ({theirs:.1%}): {100 * (ours - theirs):+.1f} points (" in shown


def test_an_unlabelled_target_is_estimated(dacbn, place):
    shown = dacbn("evaluate", "unlabelled").out
    assert "is a flat folder without labels" in shown
    assert re.search(r"flat: (\d+ % estimated|cannot tell from 80 images)", shown)
    written = json.loads((place / "unlabelled" / "evaluation.json").read_text())
    assert "target_test_accuracy" not in written and written["estimated"]


def test_images_that_two_runs_answer_are_counted_in_pairs():
    ours = np.array([True] * 36 + [True] * 12 + [False] * 2)
    theirs = np.array([True] * 36 + [False] * 12 + [True] * 2)
    found = compare_right(ours, theirs)
    assert found.interval == paired(36, 12, 2, 0) and found.images == 50
    assert found.difference == pytest.approx(0.2) and found.accuracy == pytest.approx(0.76)
    with pytest.raises(ValueError, match="the baseline was tested on 3 images, and the run on 50"):
        compare_right(ours, theirs[:3])


def test_predict_summarises_beside_the_table(dacbn, place):
    shown = dacbn("predict", "run", "flat", "--summary")
    assert shown.out == dacbn("predict", "run", "flat").out
    lines = shown.err.splitlines()
    where = lines.index("80 images labelled")
    counts = [int(re.search(r": (\d+) \(", line)[1]) for line in lines[where + 1 : -1]]
    assert sum(counts) == 80 and counts == sorted(counts, reverse=True)
    assert re.match(r"accuracy: (\d+ % estimated|cannot tell from 80)", lines[-1])


@pytest.mark.filterwarnings("ignore:1 image is unreadable")
def test_a_summary_counts_files_that_cannot_be_read(dacbn, place):
    (place / "flat" / "z.png").write_bytes(b"nothing")
    try:
        shown = dacbn("predict", "run", "flat", "--summary").err
    finally:
        (place / "flat" / "z.png").unlink()
    assert "80 images labelled, 1 unreadable" in shown


@pytest.mark.parametrize("words", [("--recalibrate",), ("--label-shift", "em")])
def test_changed_answers_are_not_estimated(dacbn, words):
    shown = dacbn("predict", "run", "flat", "--summary", *words).err
    assert "accuracy: cannot tell: answers to source images are those of the network" in shown


def test_a_network_without_held_out_outputs_says_what_is_missing(dacbn, place):
    adapter = DomainAdapter.from_pretrained(place / "run", "cpu")
    adapter.held_out = None
    adapter.save_pretrained(place / "bare")
    shown = dacbn("predict", "bare", "flat", "--summary").err
    assert "accuracy: cannot tell: it needs outputs on held-out source images" in shown
    shown = dacbn("evaluate", "bare").out  # the source is here
    assert re.search(r"^t: (\d+ % estimated|cannot tell from 80 images)", shown, re.M)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--second", "run"], "--second is run itself: name another run"),
        (["--baseline", "run/../run"], "--baseline is run/../run itself: name another run"),
        (["--second", "others"], "--second others has other classes than run: name a run of"),
    ],
)
def test_a_run_that_cannot_be_compared_is_refused_before_the_work(dacbn, place, words, message):
    if not (place / "others").exists():
        pixels = np.zeros((8, 32, 32, 3), np.uint8)
        labels = np.array(["bowl", "fork"])[np.arange(8) % 2]
        adapter = DomainAdapter(
            method="source_only", steps=1, source_batch_size=4, target_batch_size=4, device="cpu"
        )
        adapter.fit((pixels, labels), pixels, run=place / "others")
    shown = dacbn("evaluate", "run", *words, code=1)
    assert message in shown.err and not shown.out


def test_a_baseline_says_that_it_needs_labels(dacbn):
    shown = dacbn("evaluate", "unlabelled", "--baseline", "run").out
    assert "--baseline is not compared: no image of the target has a label" in shown
