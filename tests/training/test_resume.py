"""A process that is killed or interrupted, and a resumed run that equals an uninterrupted one."""

import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from dacbn import cli
from dacbn.training import load_checkpoint, read_records

STEPS = 60
OPTIONS = [
    *("--steps", f"{STEPS}", "--source-batch-size", "6", "--target-batch-size", "6"),
    *("--log-every", "3", "--eval-every", "25", "--checkpoint-every", "10", "--device", "cpu"),
    *("--image-size", "32"),
]


def command_line(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["dacbn", *map(str, arguments)])
    cli.main()


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Options of a training on few images, so that evaluations take no time."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("domains")
    for domain, name in itertools.product(("source", "target"), ("bike", "mug")):
        path = folder / domain / name
        path.mkdir(parents=True)
        for index in range(12):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"{index}.png")
    return [*OPTIONS, "--source", str(folder / "source"), "--target", str(folder / "target")]


def stop_midway(options, folder, number):
    """Start a training, and send a signal to its process when it has a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dacbn", "train", *options, "--run", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # as in the process of these tests
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 100
    while not (folder / "checkpoint.pt").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    os.kill(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert load_checkpoint(folder)["step"] < STEPS, "it finished before the signal"
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory, options):
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        command_line(monkeypatch, "train", *options, "--run", folder)
    return folder


def assert_same_run(folder, whole):
    for name in ("model.safetensors", "config.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert load_checkpoint(folder)["step"] == STEPS


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, options, whole, untimed):
    folder = tmp_path / "run"
    code, _, _ = stop_midway(options, folder, signal.SIGKILL)
    assert code == -signal.SIGKILL
    command_line(monkeypatch, "train", "--resume", folder)
    assert_same_run(folder, whole)
    assert untimed(read_records(folder)) == untimed(read_records(whole))


def test_ctrl_c_saves_says_how_to_resume_and_resumes_to_the_same_bits(
    tmp_path, monkeypatch, options, whole
):
    folder = tmp_path / "run"
    code, output, errors = stop_midway(options, folder, signal.SIGINT)
    assert code == 130 and "Traceback" not in errors
    assert f"Continue with: dacbn train --resume {folder}" in output
    command_line(monkeypatch, "train", "--resume", folder)
    assert_same_run(folder, whole)
    steps = [row["step"] for row in read_records(folder) if "lr" in row]
    assert len(set(steps)) == len(steps)
    assert set(steps) >= {row["step"] for row in read_records(whole) if "lr" in row}


def test_a_finished_run_is_left_as_it_is(tmp_path, monkeypatch, whole, capsys):
    before = (whole / "metrics.jsonl").read_bytes(), (whole / "model.safetensors").read_bytes()
    command_line(monkeypatch, "train", "--resume", whole)
    after = (whole / "metrics.jsonl").read_bytes(), (whole / "model.safetensors").read_bytes()
    assert before == after
    assert "target test: accuracy" in capsys.readouterr().out
