"""The benchmark measures what it says; how fast anything is, no test asserts."""

import json

import pytest
import torch

from dacbn import cli
from dacbn.benchmarks import (
    Settings,
    benchmark_layers,
    benchmark_loops,
    benchmark_steps,
    measure,
    table,
)
from dacbn.benchmarks.layers import CLUSTERS, SHAPES
from dacbn.benchmarks.memory import peak_bytes
from dacbn.benchmarks.published_layer import PublishedLayer
from dacbn.benchmarks.timing import time_candidates


def test_ratios_are_to_the_first_candidate(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("dacbn.benchmarks.timing.time.perf_counter", lambda: clock[0])

    def lasts(seconds):
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    timings = time_candidates({"one": lasts(1), "three": lasts(3)}, rounds=3, at_least=0)
    assert timings["one"].ratio == 1 and timings["one"].seconds == pytest.approx(1)
    assert timings["three"].ratio == pytest.approx(3)
    assert timings["three"].low <= timings["three"].seconds <= timings["three"].high


def test_candidates_take_turns():
    calls = []
    time_candidates(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2, at_least=0
    )
    assert "".join(calls).endswith("abab")


def test_what_takes_minutes_runs_once_a_round():
    calls = []
    time_candidates({"a": lambda: calls.append("a")}, rounds=2, at_least=0, warm_up=False)
    assert calls == ["a"] * 2
    time_candidates({"a": lambda: calls.append("a")}, rounds=2, at_least=0)
    assert calls == ["a"] * 5


def test_the_published_layer_is_timed_on_an_eighth_of_the_images(monkeypatch):
    asked = []

    def benchmark(specs, shapes, *others):
        asked.append((shapes, others[-1]))
        return []

    monkeypatch.setattr("dacbn.benchmarks.layers.benchmark_layers", benchmark)
    measure("layers", Settings(device="cpu"))
    measure("layers", Settings(device="cpu", norms=("scb_norm",)))
    parts = ((8, 64, 32, 32), (8, 256, 8, 8), (32, 512))
    assert asked == [(SHAPES, ()), (parts, CLUSTERS), (SHAPES, ())]


def test_the_peak_counts_what_is_held_at_once():
    def run():
        first = torch.empty(1000)
        second = torch.empty(500)
        del first
        return second + torch.empty(500)

    assert 6000 <= peak_bytes(run) <= 6600


def test_layers_steps_and_loops_give_a_row_each(monkeypatch):
    rows = benchmark_layers(["ucb_norm", "scb_norm"], [(8, 4, 3, 3)], 2, published=[2])
    assert [row["layer"] for row in rows] == [
        "torch BatchNorm",
        "ucb_norm",
        "scb_norm",
        "published layer, K=2",
    ]
    assert rows[0]["ratio"] == 1 and all(row["seconds"] > 0 for row in rows)
    assert all(row["error"] < 1e-5 for row in rows[:3]) and rows[3]["error"] is None
    rows = benchmark_steps(["ucb_norm"], ["digits_cnn"], batch_size=4, rounds=2)
    assert [row["norm"] for row in rows] == ["its own BatchNorm", "ucb_norm"]
    monkeypatch.setattr("dacbn.benchmarks.rivals.find_spec", lambda name: None)
    rows = benchmark_loops(steps=2, batch_size=4, rounds=2, bfloat16=True)
    assert [row["loop"] for row in rows] == ["tutorial loop", "dacbn", "dacbn, bfloat16"]
    assert all(row["images_per_second"] == pytest.approx(16 / row["seconds"]) for row in rows)


def test_the_published_layer_gains_a_factor_instead_of_normalising():
    """Its variance is next to nothing, so that eps alone divides."""
    layer, x = PublishedLayer(8), torch.randn(64, 8, 8, 8) * 0.1
    with torch.no_grad():
        gain = layer(x).std() / x.std()
    assert gain > 0.9 * (1e-3) ** -0.5


def test_a_table_aligns_its_columns():
    lines = table([{"layer": "a", "seconds": 0.5}, {"layer": "bcd", "seconds": 0.001}]).splitlines()
    assert lines[0] == "| layer | ms  |" and lines[2] == "| a     | 500 |"
    assert len(set(map(len, lines))) == 1


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    output = tmp_path / "benchmark.json"
    arguments = ["steps", "--norms", "scb_norm", "--rounds", "2", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["dacbn", "benchmark", *arguments, "--output", str(output)])
    cli.main()
    results = json.loads(output.read_text())
    assert {row["norm"] for row in results["steps"]} == {"its own BatchNorm", "scb_norm"}
    assert results["machine"]["torch"] == torch.__version__
    assert "scb_norm" in capsys.readouterr().out
