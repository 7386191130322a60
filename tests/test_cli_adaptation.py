"""The command line from one trained run to another target, and adaptation while predicting."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import cli
from dacbn.adapter import DomainAdapter
from dacbn.training import load_checkpoint

FAST = ["--steps", "4", "--target-batch-size", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def dacbn():
    def run(*arguments):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, arguments)])
            cli.main()

    return run


@pytest.fixture(scope="module")
def place(dacbn, tmp_path_factory):
    """A folder with a run from digits, whose source is gone after it, and images to label."""
    root = tmp_path_factory.mktemp("place")
    options = ("--method", "source_only(label_smoothing=0.1)", "--source-batch-size", "4")
    dacbn("train", "--run", root / "run", *FAST, *options)
    random = np.random.default_rng(0)
    (root / "new").mkdir()
    for number in range(9):
        pixels = random.integers(0, 256, (32, 32)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "new" / f"{number}.png")
    return root


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_adapted_into_another_without_its_source(dacbn, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before = contents(place / "run")
    config = json.loads((place / "run" / "config.json").read_text())
    config["training"]["source"] = "nowhere/to/be/found"
    (place / "run" / "config.json").write_text(json.dumps(config))
    dacbn("adapt", "run", "--method", "shot(weight=0.1, rounds=2)", *FAST)
    output = capsys.readouterr().out
    assert "target test: accuracy" in output and "next: dacbn evaluate runs/run-shot" in output
    assert "against the run that it started from (" in output
    (place / "run" / "config.json").write_bytes(before["config.json"])
    assert contents(place / "run") == before
    adapted = DomainAdapter.from_pretrained(place / "runs" / "run-shot", device="cpu")
    assert adapted.config.method == "shot(weight=0.1, rounds=2)" and adapted.config.steps == 4
    assert adapted.config.target == ("color_digits",)


def test_a_linear_probe_says_and_takes_what_trains_more_of_it(dacbn, place, tmp_path, capsys):
    """Nothing of it is left to train by shot, and the cure was no option of the command."""
    probe = ("--train", "head", "--method", "source_only", "--source-batch-size", "4")
    dacbn("train", "--run", tmp_path / "probe", *FAST, *probe)
    command = ("adapt", tmp_path / "probe", "--output", tmp_path / "out", *FAST)
    with pytest.raises(SystemExit):
        dacbn(*command)
    assert "set --train norms or --train all" in capsys.readouterr().err
    dacbn(*command, "--train", "norms")
    adapted = DomainAdapter.from_pretrained(tmp_path / "out", device="cpu")
    assert adapted.config.train == "norms"


def test_a_flat_folder_is_a_target_and_an_adaptation_can_go_on(dacbn, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    dacbn("adapt", "run", "--target", "new", "--output", "second", *FAST)
    assert "target test" not in capsys.readouterr().out
    before = (place / "second" / "model.safetensors").read_bytes()
    dacbn("train", "--resume", "second")
    assert load_checkpoint(place / "second")["step"] == 4
    assert (place / "second" / "model.safetensors").read_bytes() == before
    dacbn("predict", "second", "new")
    assert len(capsys.readouterr().out.splitlines()) > 10


@pytest.mark.filterwarnings("always:test-time adaptation")
@pytest.mark.parametrize("method", ["tent(lr=0.1)", "sar(margin=1, lr=0.1)"])
def test_labels_can_be_adapted_to_the_images_while_the_run_stays(
    dacbn, place, monkeypatch, capsys, method
):
    monkeypatch.chdir(place)
    before = contents(place / "run")

    def labels(*options):
        dacbn("predict", "run", "new", *options)
        said = capsys.readouterr()
        assert ("test-time adaptation has 9 images" in said.err) == bool(options)
        rows = [*csv.DictReader(said.out.splitlines())]
        assert [row["path"] for row in rows] == [f"new/{number}.png" for number in range(9)]
        return [row["confidence"] for row in rows]

    adapted = labels("--adapt", method)
    assert adapted != labels() and adapted == labels("--adapt", method)
    assert contents(place / "run") == before


@pytest.mark.filterwarnings("always:test-time adaptation")
def test_one_image_is_labelled_as_without_adaptation(dacbn, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    dacbn("predict", "run", "new/3.png")
    plain = capsys.readouterr()
    dacbn("predict", "run", "new/3.png", "--adapt", "tent")
    adapted = capsys.readouterr()
    assert adapted.out == plain.out and "predicts one image as without it" in adapted.err
