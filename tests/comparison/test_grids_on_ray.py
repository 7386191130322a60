"""Whole grids on workers: controls, a cell that fails, and Ctrl-C."""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from same_runs import same_runs, tiny_digits

from dacbn.comparison import Plan, choose_variants, make_grid, run_comparison
from dacbn.training import TrainConfig

pytest.importorskip("ray", reason="Ray is not installed: pip install 'dacbn[ray]'")
pytestmark = pytest.mark.slow

SMALL = {"source_batch_size": 4, "target_batch_size": 4, "image_size": 16, "log_every": 1}


def test_controls_are_trained_and_a_cell_that_fails_stops_no_other(tmp_path):
    source, target = tiny_digits(tmp_path)
    config = TrainConfig(source=source, target=target, steps=8, device="cpu", **SMALL)
    norms = ["ucb_norm(num_clusters=2)"]
    some = choose_variants(norms, ["source_only"], controls=True)[:2]
    some += choose_variants(norms, ["dann"])
    assert [bool(variant.control) for variant in some] == [False, True, False]
    cells = make_grid(config, some, 1)
    cells[2] = cells[2]._replace(config=replace(cells[2].config, lr=1e30))  # it diverges
    one = run_comparison(tmp_path / "one", config, cells, Plan(cpus=1))
    two = run_comparison(tmp_path / "two", config, cells, Plan(workers=2, cpus=1))
    assert {each.cell.name for each in two if each.state == "failed"} == {cells[2].name}
    assert [each.accuracies for each in two] == [each.accuracies for each in one]
    for name in ("one", "two"):
        shutil.rmtree(tmp_path / name / "runs" / cells[2].name)
    same_runs(tmp_path / "one" / "runs", tmp_path / "two" / "runs")


def test_ctrl_c_saves_the_cells_that_run_and_the_same_command_goes_on(tmp_path):
    source, target = tiny_digits(tmp_path)
    words = ["--source", *source, "--target", *target, "--norms", "batch_norm", "layer_norm"]
    words += ["--methods", "source_only", "--seeds", "1", "--steps", "1000", "--device", "cpu"]
    for name, value in SMALL.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--workers", "2", "--cpus", "1", "--output", str(tmp_path / "out")]
    command = [sys.executable, "-m", "dacbn", "compare", *map(str, words)]
    runs = tmp_path / "out" / "runs"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while len(list(runs.glob("*/metrics.jsonl"))) < 2 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGINT, said
    assert len(list(runs.glob("*/checkpoint.pt"))) == 2 and "Traceback" not in said
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 done, 0 failed" in done.stdout + done.stderr
    for run in runs.glob("*/metrics.jsonl"):
        steps = [line.split('"step": ')[1].split(",")[0] for line in run.read_text().splitlines()]
        assert len(steps) >= 1000 and int(steps[-1]) == 1000
