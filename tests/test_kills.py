"""Commands that are killed, and killed again, end in the same files as commands that were not.

`pytest -m slow tests/test_kills.py` kills a hundred times.
"""

import json
import random
import re

import numpy as np
import pytest
from killed import run_killed
from PIL import Image

from dacbn.training import load_checkpoint, read_records

FAST = ["--source-batch-size", 4, "--target-batch-size", 4, "--device", "cpu", "--image-size", 32]
FAST += ["--log-every", 2, "--eval-every", 4, "--checkpoint-every", 3, "--source", "s"]
FAST += ["--target", "t", "--steps", 8]
SMALL = ["--norms", "batch_norm", "--methods", "source_only", "dann", "--seeds", 1]


def train(folder):
    if (folder / "out" / "config.json").exists():
        return ["train", "--resume", "out"]
    return ["train", *FAST, "--run", "out", "--snapshot-every", 4]


def adapt(folder):
    if (folder / "out" / "config.json").exists():
        return ["train", "--resume", "out"]
    return ["adapt", "run", "--steps", 6, "--output", "out"]


def compare(folder):
    return ["compare", *FAST, *SMALL, "--output", "out"]


def analyse(folder):
    return ["analyse", "run", "--images", 24, "--output", "out"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two domains and a run."""
    root, drawn = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    for name in ("s/cup", "s/pen", "t/cup", "t/pen"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = drawn.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    code, _ = run_killed(root, ["train", *FAST, "--run", "run", "--norm", "batch_norm"])
    assert code == 0, (root / "log").read_text()
    return root


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory):
    """Run each command once without killing it: what it leaves, and its number of moments."""
    made = {}

    def make(command):
        if command not in made:
            folder = prepare(place, tmp_path_factory.mktemp(command.__name__))
            code, moments = run_killed(folder, command(folder))
            assert code == 0, (folder / "log").read_text()
            made[command] = result_of(folder / "out"), moments
        return made[command]

    return make


def prepare(place, folder):
    for name in ("s", "t", "run"):
        (folder / name).symlink_to(place / name)
    return folder


def result_of(out):
    """Read all that a command leaves, except what no two runs of it share: their speed."""
    found = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(path.relative_to(out))
        if path.name == "checkpoint.pt":
            found[name] = load_checkpoint(path.parent)["step"]
        elif path.name == "metrics.jsonl":
            rows = read_records(path.parent)
            found[name] = json.dumps([{**row, "steps_per_second": 0} for row in rows])
        elif path.stem == "comparison" and path.suffix != ".json":  # the last column is seconds
            found[name] = re.sub(r"(,[\d.]+$|\d+ s)", "", path.read_text(), flags=re.MULTILINE)
        else:
            found[name] = path.read_bytes().replace(bytes(out.parent), b"")  # config.json
    return found


def kill_until_done(place, whole, folder, command, seed, kills):
    """Kill a command at most so many times, then let it end; return how often it was killed."""
    expected, moments = whole(command)
    drawn, killed = random.Random(seed), 0
    prepare(place, folder)
    while True:
        at = {}
        if killed < kills:
            at = {"moment": drawn.randint(1, moments)}
            if drawn.random() < 0.2:
                at = {"seconds": drawn.uniform(0.1, 1.5)}
        code, _ = run_killed(folder, command(folder), **at)
        if code == 0:
            break
        assert code == -9, (folder / "log").read_text()
        killed += 1
    found = result_of(folder / "out")
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    return killed


@pytest.mark.parametrize(
    ("command", "seed"),
    [
        (train, 0),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((adapt, 1), (compare, 2))),
    ],
)
def test_a_command_that_was_killed_ends_in_the_same_files(place, whole, tmp_path, command, seed):
    assert kill_until_done(place, whole, tmp_path, command, seed, kills=2) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "kills"), [(train, 30), (adapt, 25), (compare, 25), (analyse, 20)]
)
def test_a_hundred_kills(place, whole, tmp_path, command, kills):
    """Each round kills at most twice."""
    killed = seed = 0
    while killed < kills:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        killed += kill_until_done(place, whole, folder, command, seed, kills=2)
