"""Where cells are trained: shards are parts, and what a cell asks for exists."""

import sys

import pytest

from dacbn.comparison import Plan, Shard, run_comparison
from dacbn.comparison.ray_resources import share_of
from dacbn.training import TrainConfig


@pytest.mark.parametrize("count", [0, 1, 5, 16, 40])
@pytest.mark.parametrize("of", [1, 3, 16])
def test_shards_hold_every_cell_once_and_are_equally_large(count, of):
    parts = [Shard(number, of).share(range(count)) for number in range(1, of + 1)]
    assert [cell for part in parts for cell in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["17/16", "0/16", "3", "3/", "a/b", "-1/4", "1/0", "1/2/3", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match="shard is which part of how many, from 1/16 to 16/16"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(workers=0), "workers must be at least 1, got 0"),
        (Plan(cpus=0), "cpus must be at least 1, got 0"),
        (Plan(workers=2, ray="auto"), "give one of them"),
        (Plan(gpus=1), "add workers or ray, or choose device='cuda'"),
        (Plan(workers=2, gpus=-1), "a whole number: got -1"),
        (Plan(workers=2, gpus=1.5), "a whole number: got 1.5"),
        (Plan(workers=2, gpus=float("nan")), "a whole number: got nan"),
    ],
)
def test_plans_that_cannot_be_are_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        plan.check()


def machine(alive=True, **resources):
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "plan", "cpus", "device", "expected"),
    [
        ([machine(CPU=2)], Plan(workers=2), 1, "auto", (1, 0, 2)),
        ([machine(CPU=8), machine(CPU=5)], Plan(ray="auto"), 2, "auto", (2, 0, 6)),
        ([machine(CPU=8, GPU=1)], Plan(workers=2), 4, "auto", (4, 0.5, 2)),
        ([machine(CPU=8, GPU=4)], Plan(workers=2), 4, "auto", (4, 1, 2)),
        ([machine(CPU=8, GPU=1)], Plan(workers=2), 4, "cpu", (4, 0, 2)),
        ([machine(CPU=64, GPU=8), machine(CPU=4)], Plan(ray="auto"), 1, "auto", (1, 1, 8)),
        ([machine(CPU=64, GPU=2)], Plan(ray="auto", gpus=0.25), 1, "auto", (1, 0.25, 8)),
        ([machine(CPU=64, GPU=5)], Plan(ray="auto", gpus=2), 1, "auto", (1, 2, 2)),
        ([machine(CPU=4), machine(False, CPU=9)], Plan(ray="auto"), 1, "auto", (1, 0, 4)),
        ([machine(CPU=4), machine()], Plan(ray="auto"), 1, "auto", (1, 0, 4)),
    ],
)
def test_a_cell_asks_for_gpus_only_where_there_are_some(nodes, plan, cpus, device, expected):
    assert share_of(nodes, plan, cpus, device) == expected


@pytest.mark.parametrize(
    ("nodes", "plan", "cpus", "message"),
    [
        ([machine(CPU=2)], Plan(ray="auto", gpus=0.25), 1, "cluster has no GPU: leave out gpus"),
        ([machine(CPU=2)], Plan(workers=1, gpus=1), 1, "this machine has no GPU"),
        ([machine(CPU=2, GPU=1)], Plan(ray="auto", gpus=2), 1, "has more than 1: give gpus=1"),
        ([machine(CPU=2), machine(CPU=4)], Plan(ray="auto"), 8, "more than 4: give cpus=4"),
    ],
)
def test_what_no_machine_has_is_refused_since_ray_would_wait_for_ever(nodes, plan, cpus, message):
    with pytest.raises(ValueError, match=message):
        share_of(nodes, plan, cpus, "auto")


def test_without_ray_the_cure_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "dacbn.comparison.on_ray", raising=False)
    with pytest.raises(ImportError, match=r"workers needs Ray: pip install 'dacbn\[ray\]'"):
        run_comparison(tmp_path / "out", TrainConfig(), [], Plan(workers=2))
    assert not (tmp_path / "out").exists()
