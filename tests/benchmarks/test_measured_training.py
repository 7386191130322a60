"""What is measured beside time: agreement with float64, accuracy reached, and other toolkits."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from dacbn import cli
from dacbn.benchmarks import accuracy, benchmark_accuracy, rivals, table
from dacbn.benchmarks.relative_error import relative_error
from dacbn.models import create_network
from dacbn.norms import UCBNorm


class Off(nn.Module):
    """Double x, and in float32 a little more."""

    def __init__(self, extra):
        super().__init__()
        self.extra = extra

    def forward(self, x):  # noqa: D102
        return x * (2 if x.dtype == torch.float64 else 2 + self.extra)


@pytest.mark.parametrize("extra", [0.1, 0.001])
def test_an_error_is_relative_to_the_largest_value(extra):
    x = torch.tensor([[-4.0, 1.0], [2.0, 3.0]])
    assert relative_error(Off(extra), x) == pytest.approx(extra / 2, rel=1e-3)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_a_layer_agrees_with_itself_and_is_left_alone(dtype, error):
    layer = UCBNorm(4)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    assert 0 < relative_error(layer, torch.randn(16, 4, 5).to(dtype)) < error
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


SCORES = [
    {"step": step, "accuracy": accuracy, "seconds": step / 10}
    for step, accuracy in ((10, 0.3), (20, 0.7), (30, 0.6), (40, 0.8))
]


@pytest.mark.parametrize(
    ("goal", "reached"),
    [(0.5, (2.0, 20, "yes")), (0.7, (2.0, 20, "no")), (0.75, (4.0, 40, "yes"))],
)
def test_the_goal_is_first_reached_at_a_score(goal, reached):
    row = accuracy._summary(SCORES, goal)
    assert (row[f"seconds to {goal:.0%}"], row["step"], row["stays"]) == reached
    assert row["final accuracy"] == 0.8 and row["total seconds"] == 4.0


def test_a_goal_out_of_reach_is_a_result():
    row = accuracy._summary(SCORES, 0.9)
    assert (row["seconds to 90%"], row["step"], row["stays"]) == ("not reached", "-", "no")
    assert "not reached" in table([row])


def test_trainings_are_scored_as_they_go_and_seconds_grow():
    rows = benchmark_accuracy(
        [None, "scb_norm"], [("digits", "digits")], goal=0.01, seeds=[3], steps=3, every=2
    )
    assert [row["norm"] for row in rows] == ["its own BatchNorm", "scb_norm"]
    for row in rows:
        assert row["step"] == 2 and 0 < row["seconds to 1%"] < row["total seconds"]


def test_domains_that_are_not_at_hand_are_left_out(tmp_path):
    with pytest.warns(UserWarning, match="mnist → mnist_m is skipped: .*missing"):
        rows = benchmark_accuracy(pairs=[("mnist", "mnist_m")], data_root=tmp_path)
    assert rows == [] and table(rows) == "nothing was measured"


def test_the_command_takes_the_settings_of_a_part(tmp_path, monkeypatch):
    asked = []

    def record(norms, **options):
        asked.append((norms, options["seeds"], options["steps"], options["goal"]))
        return [{"norm": "none", **accuracy._summary(SCORES, options["goal"])}]

    monkeypatch.setattr("dacbn.benchmarks.accuracy.benchmark_accuracy", record)
    output = tmp_path / "benchmark.json"
    options = ["--norms", "scb_norm", "--seeds", "5", "6", "--steps", "1", "--goal", "0.9"]
    arguments = ["accuracy", *options, "--device", "cpu", "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["dacbn", "benchmark", *arguments])
    cli.main()
    assert asked == [((None, "scb_norm"), (5, 6), 1, 0.9)]
    (row,) = json.loads(output.read_text())["accuracy"]
    assert row["seconds to 90%"] == "not reached"


def test_toolkits_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(rivals, "find_spec", lambda name: None)
    assert rivals.absent_rivals() == ["pytorch_adapt", "skada"]
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    assert rivals.rival_loops((images, torch.arange(8), images), 10, 2, 4, "cpu") == {}


@pytest.mark.parametrize(("name", "forwards"), [("pytorch_adapt", 2), ("skada", 1)])
def test_a_toolkit_that_is_installed_trains_the_network(monkeypatch, name, forwards):
    """A network counts its forward passes, of which pytorch-adapt makes one for each domain."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    network = create_network("digits_cnn", None, 10)
    monkeypatch.setattr(rivals, "find_spec", lambda other: other == name or None)
    monkeypatch.setattr(rivals, "create_network", lambda *_: network)
    before = network.classifier.weight.clone()
    images = torch.randint(0, 256, (2, 16, 3, 32, 32), dtype=torch.uint8)
    data = images[0], torch.arange(16) % 10, images[1]
    (run,) = rivals.rival_loops(data, 10, 3, 8, "cpu").values()
    run()
    assert network.state_dict()["backbone.layers.2.num_batches_tracked"] == 3 * forwards
    assert not torch.equal(network.classifier.weight, before)
