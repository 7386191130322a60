"""A training under torchrun: a killed process is started again, and one folder is written."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
TRAIN = ["-m", "dacbn", "train", "--source", "digits", "--target", "color_digits"]
TRAIN += ["--steps", "8", "--norm", "layer_norm", "--precision", "float32", "--optimizer", "sgd"]
TRAIN += ["--source-batch-size", "6", "--target-batch-size", "5", "--log-every", "1"]
TRAIN += ["--checkpoint-every", "1", "--eval-every", "0", "--validators", "entropy"]
LAUNCHER = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts"]


def start(*words):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TORCHEL")}
    environment = clean | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def steps_of(folder):
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return json.loads(lines[-1])["step"]
    except (OSError, IndexError, ValueError):
        return 0


def kill_one(launcher, folder, step):
    """Kill the second process when the training has reached a step."""
    until = time.monotonic() + 120
    while steps_of(folder) < step and launcher.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    workers = psutil.Process(launcher.pid).children()
    if len(workers) > 1:
        workers[1].kill()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 10])
def test_a_killed_process_is_started_again_and_the_run_is_that_of_one(tmp_path, kills):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    one = start(*TRAIN, "--output", str(alone))
    launcher = start(*LAUNCHER, str(kills), *TRAIN, "--output", str(shared))
    for number in range(kills):
        kill_one(launcher, shared, min(2 + number, 7))
    text, text_of_one = launcher.communicate()[0], one.communicate()[0]
    assert one.returncode == 0, text_of_one
    assert launcher.returncode == 0, text
    weights, wanted = (load_file(folder / "model.safetensors") for folder in (shared, alone))
    assert max(float((weights[name] - each).abs().max()) for name, each in wanted.items()) < 1e-5
    rows, rows_of_one = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (shared, alone)
    )
    assert [row["step"] for row in rows] == [row["step"] for row in rows_of_one]
    assert rows[-1]["target_test_accuracy"] == rows_of_one[-1]["target_test_accuracy"]
    assert text.count("target test: accuracy") == 1, "only the first process prints"
