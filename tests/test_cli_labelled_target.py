"""The command line with a few labelled target images, from folders and a list to labels."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dacbn import cli
from dacbn.datasets.folders import list_folder

FAST = ["--steps", "4", "--source-batch-size", "4", "--target-batch-size", "4"]
FAST += ["--labelled-batch-size", "3", "--image-size", "32", "--device", "cpu"]
FAST += ["--checkpoint-every", "2", "--log-every", "2"]


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


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Source and target folders, and a list that labels some images of the target."""
    random, root = np.random.default_rng(0), tmp_path_factory.mktemp("photos")
    for domain in ("source", "target"):
        for name in ("bike", "mug"):
            (root / domain / name).mkdir(parents=True)
            for number in range(16):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / domain / name / f"{number}.png")
    tested = list_folder(root / "target", train=False)[0]
    trained = list_folder(root / "target", train=True)[0]
    labelled = [tested[0], *trained[::4]]  # one of them would be tested
    lines = [f"{file.relative_to(root)} {file.parent.name}\n" for file in labelled]
    (root / "few.txt").write_text("".join(lines))
    (root / "apart.txt").write_text("".join(lines[1:]))
    (root / "other.txt").write_text("target/mug/0.png lamp\n")
    return root


def domains_of(photos):
    return ["--source", photos / "source", "--target", photos / "target"]


@pytest.mark.parametrize("method", ["source_and_target", "mme"])
def test_train_resume_evaluate_and_predict(method, dacbn, photos, tmp_path, capsys):
    run = tmp_path / "run"
    few = ["--target-labelled", photos / "few.txt", "--method", method]
    assert dacbn("train", *domains_of(photos), *few, *FAST, "--run", run) == 0
    content = json.loads((run / "config.json").read_text())
    assert content["training"]["target_labelled"] == [str(photos / "few.txt")]
    lines = (photos / "few.txt").read_text().splitlines()
    labelled = {photos / line.split()[0] for line in lines}
    seen = set(map(Path, content["trained_on"]))
    assert seen == {photos / "source", photos / "target", *labelled}
    before, after = (
        set(list_folder(photos / "target", train=False, trained_on=list(places))[0])
        for places in ([photos / "target"], seen)
    )
    assert len(before & labelled) == 1 and after == before - labelled and after
    assert dacbn("train", "--resume", run, "--steps", "6") == 0
    capsys.readouterr()
    assert dacbn("evaluate", run) == 0
    assert "target test" in capsys.readouterr().out
    table = tmp_path / "labels.csv"
    assert dacbn("predict", run, photos / "target", "--output", table) == 0
    with table.open() as file:
        assert {row["label"] for row in csv.DictReader(file)} <= {"bike", "mug"}


def refusal(dacbn, capsys, *arguments):
    """Return the one line of a refused command."""
    assert dacbn(*arguments) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_refusals_name_the_options(dacbn, photos, tmp_path, capsys):
    train = ["train", *domains_of(photos), *FAST, "--run", tmp_path / "run"]
    few = ["--target-labelled", photos / "few.txt"]
    line = refusal(dacbn, capsys, *train, *few, "--method", "dann")
    assert "leave out --target-labelled, or set --method mme or --method source_and_target" in line
    line = refusal(dacbn, capsys, *train, "--method", "mme")
    assert "mme needs a few labelled target images: give them as --target-labelled" in line
    other = ["--target-labelled", photos / "other.txt"]
    line = refusal(dacbn, capsys, *train, *other, "--method", "mme")
    assert "--target-labelled: " in line and "['lamp']" in line
    assert not (tmp_path / "run/config.json").exists()
    compare = ["compare", *train[1:-2], *few, "--methods", "dann", "mcc", "--norms", "batch_norm"]
    line = refusal(dacbn, capsys, *compare, "--output", tmp_path / "compared")
    assert "dann does not use labelled target images: leave out --target-labelled" in line


def test_one_grid_holds_methods_with_and_without_labelled_target(dacbn, photos, tmp_path, capsys):
    words = ["compare", *domains_of(photos), *FAST, "--seeds", "1", "--output", tmp_path]
    words += ["--methods", "dann", "mme", "--norms", "batch_norm", "--target-labelled"]
    line = refusal(dacbn, capsys, *words, photos / "few.txt")
    assert "some images of --target-labelled are test images of the methods that do not" in line
    assert dacbn(*words, photos / "apart.txt") == 0
    trained = {
        method: json.loads((tmp_path / f"runs/{method}-batch_norm-seed0/config.json").read_text())
        for method in ("dann", "mme")
    }
    given = {method: each["training"]["target_labelled"] for method, each in trained.items()}
    assert given == {"dann": [], "mme": [str(photos / "apart.txt")]}
    assert len(trained["dann"]["trained_on"]) == 2 < len(trained["mme"]["trained_on"])
    table = (tmp_path / "comparison.md").read_text()
    assert table.count("--target-labelled") == 1, "in the command of mme alone"
