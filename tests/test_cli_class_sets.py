"""Targets with some of the source's classes, or with others too, on the command line."""

import csv
import json
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from dacbn import cli

FAST = ["--steps", "3", "--source-batch-size", "4", "--target-batch-size", "4", "--device", "cpu"]
FAST += ["--image-size", "32"]


@pytest.fixture
def dacbn(tmp_path, monkeypatch, capsys):
    """Type a command in the folder of the photos; returns what it prints, and its errors."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        monkeypatch.setattr(sys, "argv", ["dacbn", *line.split()])
        try:
            cli.main()
        except SystemExit as stop:
            assert not stop.code or "refused" in line
        shown = capsys.readouterr()
        return shown.out + shown.err

    random = np.random.default_rng(0)
    domains = {
        "studio": ["cup", "desk lamp", "pen"],
        "partial": ["cup", "pen"],
        "open": ["bike", "cup", "pen"],
    }
    for domain, classes in domains.items():
        for level, name in enumerate(classes):
            (tmp_path / domain / name).mkdir(parents=True)
            for number in range(8):
                pixels = random.normal(60 + 60 * level, 30, (32, 32, 3)).clip(0, 255)
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(tmp_path / domain / name / f"{number}.png")
        files = sorted((tmp_path / domain).glob("*/*.png"))
        lines = [
            f"{file} {domains['studio'].index(file.parent.name)}"
            for file in files
            if file.parent.name in domains["studio"]
        ]
        (tmp_path / f"{domain}.txt").write_text("\n".join(lines))
    return run


def test_a_partial_target_of_folders_is_scored_over_its_own_classes(dacbn, tmp_path):
    printed = dacbn(f"train --source studio --target partial {' '.join(FAST)} --run run")
    assert "target test partial has 2 of the 3 classes" in printed
    assert "mean of the 2 classes that occur" in printed
    assert "mean of the 2 classes that occur" in dacbn("evaluate run")
    assert (
        json.loads((tmp_path / "run/evaluation.json").read_text())["target_test_classes_present"]
        == 2
    )
    report = dacbn("analyse run --images 10")
    assert "predictions: " in report and "predictions: left out" not in report


def test_a_partial_target_of_lists_is_scored_over_its_own_classes(dacbn):
    printed = dacbn(f"train --source studio.txt --target partial.txt {' '.join(FAST)} --run run")
    assert "mean of the 2 classes that occur" in printed
    assert "path,label" in dacbn("predict run partial/cup")


def test_unknown_classes_are_taken_answered_and_scored_by_choice(dacbn, tmp_path):
    line = f"train --source studio --target open {' '.join(FAST)}"
    assert "--unknown" in dacbn(f"{line} --run refused")
    assert not (tmp_path / "refused").exists()
    printed = dacbn(f"{line} --unknown --run run")
    assert "images of unknown classes" in printed and 'answers are "unknown" above' in printed
    assert "H-score (harmonic mean of both)" in printed
    assert "H-score (harmonic mean of both)" in dacbn("evaluate run")
    threshold = json.loads((tmp_path / "run/config.json").read_text())["unknown_threshold"]
    dacbn("predict run open --top 2 --add probabilities --output table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    for row in rows:
        p = np.array([float(row[name]) for name in row if name.startswith("probability of")])
        entropy = -(p * np.log(np.maximum(p, 1e-30))).sum()
        if abs(entropy - threshold) > 1e-4:
            assert (row["label"] == "unknown") == (entropy > threshold)
        known = [name.removeprefix("probability of ") for name in row if "probability" in name]
        named = row["label_2"] if row["label"] == "unknown" else row["label"]
        assert named == known[int(p.argmax())]
    assert "unknown" in {row["label"] for row in rows}
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        report = dacbn("analyse run --images 10")
    assert "the target has unknown classes: its labels are not shown" in report
    assert "predictions: " in report and "predictions: left out" not in report
