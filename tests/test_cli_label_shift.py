"""`--label-shift` of `dacbn predict` and `dacbn evaluate`."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.training.held_out import HELD_OUT

pytestmark = pytest.mark.filterwarnings("ignore:label shift between 2 classes", "ignore:statistics")


def fill(folder, counts, negative, seed):
    """Write dark and bright photos into class folders; bright ones are pens."""
    drawn = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = drawn.integers(0, 150, (32, 32, 3)) + 100 * (name == "pen")
            pixels = (255 - pixels if negative else pixels).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, the domains that it was trained on, and one that was not held out from."""
    root = tmp_path_factory.mktemp("shift")
    fill(root / "s", {"cup": 40, "pen": 40}, False, 0)
    fill(root / "t", {"cup": 10, "pen": 40}, False, 1)
    adapter = DomainAdapter(
        norm="batch_norm", method="source_only", steps=6, image_size=32, device="cpu"
    )
    adapter.fit(root / "s", root / "t", source_test=root / "s", run=root / "run")
    adapter.held_out = None
    adapter.save_pretrained(root / "bare")
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
        else:
            assert code == 0
        return capsys.readouterr()

    return run


def test_predict_writes_corrected_probabilities(dacbn, place):
    shown = dacbn("predict", "run", "t", "--label-shift", "em", "--add", "probabilities", "logits")
    rows = list(csv.DictReader(io.StringIO(shown.out)))
    assert "estimated shares of classes: " in shown.err
    adapter = DomainAdapter.from_pretrained(place / "run", "cpu")
    expected = adapter.predict_proba(place / "t", label_shift="em")
    numbers = np.array([list(row.values())[4:] for row in rows], float)
    np.testing.assert_allclose(numbers[:, :2], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(numbers[:, 2:]), expected, rtol=1e-4, atol=1e-6)
    labels = [adapter.classes[label] for label in expected.argmax(1)]
    assert [row["label"] for row in rows] == labels


def test_recalibrated_statistics_can_be_corrected_too(dacbn, place):
    words = ["--label-shift", "bbse", "--recalibrate", "--add", "probabilities"]
    rows = list(csv.DictReader(io.StringIO(dacbn("predict", "run", "t", *words).out)))
    files = [place / row["path"] for row in rows]
    adapter = DomainAdapter.from_pretrained(place / "run", "cpu").recalibrate(files)
    expected = adapter.predict_proba(files, label_shift="bbse")
    numbers = np.array([list(row.values())[4:] for row in rows], float)
    np.testing.assert_allclose(numbers, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("words", [(), ("--recalibrate",)])
def test_evaluate_scores_before_and_after(dacbn, place, words):
    lines = dacbn("evaluate", "run", "--label-shift", "em", *words).out.splitlines()
    where = lines.index("corrected for label shift by em:")
    assert lines[where - 1].startswith("estimated shares of classes: ")
    assert lines[where + 1].startswith("target test: accuracy") and "points" in lines[where + 1]
    written = json.loads((place / "run" / "evaluation.json").read_text())
    assert written["label_shift"] == "em" and written["recalibrated"] == bool(words)
    adapter = DomainAdapter.from_pretrained(place / "run", "cpu")
    assert written["before"]["target_test_accuracy"] == adapter.score(place / "t")
    if words:
        adapter.recalibrate(place / "t")
    score = adapter.score(place / "t", label_shift="em")
    assert written["target_test_accuracy"] == written["after"]["target_test_accuracy"] == score


def test_a_run_without_held_out_outputs_says_how_to_get_them(dacbn, place):
    assert not (place / "bare" / HELD_OUT).exists()
    error = dacbn("predict", "bare", "t", "--label-shift", "em", code=1).err
    assert error == (
        "dacbn: bare has no outputs on held-out source images, which --label-shift needs: write "
        "them with dacbn evaluate bare --label-shift em, where the source is, or train again\n"
    )
    (place / "s").rename(place / "moved")
    error = dacbn("evaluate", "bare", "--label-shift", "em", code=1).err
    assert error.startswith("dacbn: bare has no outputs on held-out source images")
    assert "its source cannot be read" in error and error.count("\n") == 1
    (place / "moved").rename(place / "s")
    dacbn("evaluate", "bare", "--label-shift", "em")
    assert (place / "bare" / HELD_OUT).read_bytes() == (place / "run" / HELD_OUT).read_bytes()
    assert "path,label" in dacbn("predict", "bare", "t", "--label-shift", "em").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", "run", "t", "--label-shift", "emm"), "unknown label-shift estimator 'emm'."),
        (("evaluate", "run", "--label-shift", "emm"), "unknown label-shift estimator 'emm'. Did"),
        (
            ("predict", "run", "t", "--label-shift", "em", "--adapt", "tent"),
            "--adapt changes the network while it predicts, and --label-shift compares its",
        ),
    ],
)
def test_what_cannot_be_corrected_is_refused_before_the_work(dacbn, words, message):
    shown = dacbn(*words, code=1)
    assert shown.out == "" and shown.err.startswith(f"dacbn: {message}")
