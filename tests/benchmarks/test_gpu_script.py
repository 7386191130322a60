"""The script that measures on a GPU: its table and what it reads, on a CPU."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from dacbn.benchmarks import table


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[2] / ".ci" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_says_whether_its_goal_is_met(script):
    assert script.row("loop", 90_000, 100_000, most=False)["met"] == "no"
    assert script.row("loop", 123_456, 100_000, most=False) == {
        "name": "loop",
        "value": "123,456",
        "goal": "at least 100,000",
        "met": "yes",
    }
    assert script.row("layer", 2.5, 2)["met"] == "no"
    assert script.row("layer", float("nan"), 2)["met"] == "no"


@pytest.mark.parametrize(
    ("printed", "count"),
    [("..\n12 passed, 3 skipped in 4.2s\n", 12), ("no tests ran in 0.1s\n", 0)],
)
def test_passed_tests_are_counted(script, printed, count):
    assert script.passed(printed) == count


def test_the_first_log_of_a_training_is_left_out(script, tmp_path):
    rows = [{"step": 1, "steps_per_second": 1.0}, {"step": 1, "accuracy": 0.5}]
    rows += [{"step": step, "steps_per_second": step * 10.0} for step in (2, 3, 4)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert script.steps_per_second(path) == 30


def test_a_part_that_fails_says_why_and_the_others_go_on(script, monkeypatch):
    def broken(device):
        yield script.row("first", 1, 2)
        raise RuntimeError(f"no kernel for {device}\nand more")

    def whole(device):
        yield script.row("last", 1, 2)

    monkeypatch.setattr(script, "PARTS", (broken, whole))
    rows = script.measure("cpu")
    assert [row["name"] for row in rows] == ["first", "broken", "last"]
    assert rows[1]["value"] == "no kernel for cpu" and rows[1]["met"] == "no"
    assert len(table(rows).splitlines()) == 5


def test_layers_steps_and_the_loop_give_rows(script, monkeypatch):
    monkeypatch.setattr(script, "LARGE_SHAPES", ((4, 2, 3, 3),))
    monkeypatch.setattr(script, "ROUNDS", 1)
    names = [row["name"] for row in script.layers("cpu")]
    assert len(names) == len(set(names)) == 16
    assert "ucb_norm(num_clusters=3), bfloat16, channels_last: error to float64" in names
    few = [{"backbone": "resnet18", "ratio": 1.0}, {"backbone": "resnet18", "ratio": 1.1}]
    monkeypatch.setattr(script, "benchmark_steps", lambda *_, **__: few)
    assert [row["met"] for row in script.steps("cpu")] == ["yes", "yes"]
    loops = [{"loop": name, "images_per_second": 9.0} for name in ("tutorial loop", "dacbn")]
    monkeypatch.setattr(script, "benchmark_loops", lambda **_: loops)
    assert [row["name"] for row in script.loop("cpu")] == ["loop of dacbn: images a second"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(script, capsys):
    assert script.main() == 1
    assert capsys.readouterr().out.startswith("nothing was measured: torch finds no GPU")


@pytest.mark.slow
def test_one_process_under_torchrun_is_that_of_none(script):
    (row,) = script.one_rank("cpu")
    assert row["met"] == "yes", row
