"""Cells on workers, by Ray: equal to those of one process, also if a worker dies."""

import socket
import subprocess
import time
from threading import Thread

import psutil
import pytest
from same_runs import same_runs, tiny_digits

from dacbn.comparison import Plan, choose_variants, make_grid, run_comparison
from dacbn.training import TrainConfig

pytest.importorskip("ray", reason="Ray is not installed: pip install 'dacbn[ray]'")

OPTIONS = {
    **{"steps": 40, "source_batch_size": 4, "target_batch_size": 4, "image_size": 16},
    **{"log_every": 1, "checkpoint_every": 1, "device": "cpu"},
}


def kill(run, depth, killed):
    """Kill -9 the worker of a run as soon as that has a checkpoint; of depth 2, its training."""
    while not (run / "checkpoint.pt").exists():
        time.sleep(0.02)
    for process in psutil.Process().children(recursive=True):
        if "".join(process.cmdline()).startswith(f"ray::{run.name}"):
            for _ in range(depth):
                process = process.children()[-1]
            process.kill()
            killed.append(process.pid)
            return


@pytest.mark.slow
def test_two_workers_make_what_one_process_makes_though_some_are_killed(tmp_path, caplog):
    source, target = tiny_digits(tmp_path)
    config = TrainConfig(source=source, target=target, **OPTIONS)
    variants = choose_variants(["batch_norm", "ucb_norm(num_clusters=2)"], ["source_only"])
    cells = make_grid(config, variants, 1)
    one = run_comparison(tmp_path / "one", config, cells)
    caplog.set_level("INFO", "dacbn")
    killed = []
    for cell, depth in zip(cells, (0, 2), strict=True):
        run = tmp_path / "two" / "runs" / cell.name
        Thread(target=kill, args=(run, depth, killed), daemon=True).start()
    plan = Plan(workers=2, cpus=1)
    two = run_comparison(tmp_path / "two", config, cells, plan)
    assert [result.accuracies for result in two] == [result.accuracies for result in one]
    assert len(killed) == 2
    same_runs(tmp_path / "one" / "runs", tmp_path / "two" / "runs")
    assert "2 cells: 2 running, 0 waiting, 0 done, 0 failed" in caplog.text
    assert "0 running, 0 waiting, 2 done, 0 failed" in caplog.text
    machines = [(tmp_path / name / "comparison.json").read_text() for name in ("one", "two")]
    assert machines[0] == machines[1]
    started = time.monotonic()
    assert run_comparison(tmp_path / "two", config, cells, plan) == two
    assert time.monotonic() - started < 2, "Ray starts though nothing is to be trained"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"no Ray cluster answers at 127\.0\.0\.1:1 \(.*\): start one there with"),
        ("head", "head is no address of a Ray cluster: start one there with: ray start --head"),
        ("a:99999", "a:99999 is no address"),
    ],
)
def test_an_address_that_nobody_answers_is_told_at_once(address, message):
    from dacbn.comparison.on_ray import _try_to_connect

    with pytest.raises(ValueError, match=message):
        _try_to_connect(address)


def test_what_answers_and_is_no_cluster_is_told_in_time(monkeypatch):
    from dacbn.comparison import on_ray

    monkeypatch.setattr(on_ray, "TO_CONNECT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"no Ray cluster answers at {address} within 1 s"):
            on_ray._try_to_connect(address)


def test_another_version_of_ray_is_told(monkeypatch):
    from dacbn.comparison import on_ray

    said = "Traceback\nRuntimeError: Version mismatch: The cluster was started with:\n    Ray: 9\n"
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    message = r"another version of Ray or Python \(The cluster was started with: Ray: 9\): install"
    with pytest.raises(ValueError, match=message):
        on_ray._try_to_connect("auto")


def test_ray_that_does_not_start_is_told_in_a_line(monkeypatch):
    from dacbn.comparison import on_ray

    def init(**_):
        raise Exception("The current node timed out during startup. This could happen\nbecause")

    monkeypatch.setattr(on_ray.ray, "init", init)
    message = r"Ray does not start \(The current node timed out.*\): leave out workers, or try"
    with pytest.raises(RuntimeError, match=message), on_ray._connected(Plan(workers=2), 1):
        pass
