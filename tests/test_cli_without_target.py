"""Training on sources alone, from the command line: scores of unseen domains, and what they are."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import cli

FAST = (
    "--steps 4 --eval-every 2 --source-batch-size 8 --device cpu --norm batch_norm --image-size 32"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make three domains of bright and dark squares, on different grounds, and a run of two."""
    root = tmp_path_factory.mktemp("place")
    random = np.random.default_rng(0)
    for ground, domain in enumerate(("studio", "phone", "sketch")):
        for label, name in enumerate(("dark", "bright")):
            (root / domain / name).mkdir(parents=True)
            for number in range(10):
                pixels = random.integers(0, 60, (32, 32, 3)) + 40 * ground + 100 * label
                Image.fromarray(pixels.astype(np.uint8)).save(
                    root / domain / name / f"{number}.png"
                )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(root)
        words = f"train --source studio phone --target none --unseen sketch --run run {FAST}"
        monkeypatch.setattr(sys, "argv", ["dacbn", *words.split()])
        cli.main()
    return root


@pytest.fixture
def type_in(place, monkeypatch, capsys):
    """Type a line; returns what is printed, on stdout and stderr together."""

    def run(line):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["dacbn", *line.split()])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as stop:
            assert stop.code == 1
        return "".join(capsys.readouterr())

    return run


def test_the_unseen_domain_is_scored_by_rules_that_say_what_they_are(type_in, place):
    printed = type_in("evaluate run --device cpu")
    for words in (
        "unseen test: accuracy",
        "last  ",
        "training-domain validation  ",
        "test-domain (oracle)  ",
        "not available in practice",
    ):
        assert words in printed
    assert "target" not in printed
    settings = json.loads((place / "run" / "config.json").read_text())["training"]
    assert settings["target"] == [] and settings["unseen"] == ["sketch"]


def test_another_domain_can_be_scored_and_labelled(type_in):
    assert "unseen test: accuracy" in type_in("evaluate run --target phone --device cpu")
    assert "sketch/dark/0.png" in type_in("predict run sketch --device cpu")


def test_the_report_says_that_there_was_no_target(type_in, place):
    type_in("analyse run --images 20 --device cpu")
    report = (place / "run" / "report.html").read_text(encoding="utf-8")
    assert "studio + phone → no target (sketch unseen)" in report


@pytest.mark.filterwarnings("default:cannot show the images")
def test_a_run_without_anything_unseen_is_scored_on_its_sources(type_in, place):
    printed = type_in(f"train --source studio phone --target none {FAST}")
    assert "runs/studio+phone-none-dann-batch_norm-seed0" in printed
    printed = type_in("evaluate runs/studio+phone-none-dann-batch_norm-seed0 --device cpu")
    assert "--target D scores a domain" in printed and "source test (mean of 2" in printed
    printed = type_in("analyse runs/studio+phone-none-dann-batch_norm-seed0 --device cpu")
    assert "report: " in printed and "on the source" in printed


def test_a_run_can_be_made_longer(type_in):
    first = f"train --source studio phone --target none --unseen sketch --run longer {FAST}"
    type_in(first)
    assert "unseen test: accuracy" in type_in("train --resume longer --steps 6")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train --source studio phone --target none --method mcc", "mcc needs a target: give one"),
        ("train --source studio --target none", "give --source at least 2"),
        (
            "train --source studio phone --target none --merge-sources",
            "dann compares domains",
        ),
        ("train --source studio --target phone --unseen sketch", "add --target none"),
    ],
)
def test_what_cannot_work_is_said_on_one_line(line, said, type_in):
    printed = type_in(line)
    assert said in printed and printed.startswith("dacbn: ") and printed.count("\n") == 1
