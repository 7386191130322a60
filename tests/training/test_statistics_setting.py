"""How running statistics move in a training: what is given, decided, saved and read again."""

import json

import pytest
import torch
from torch import nn

from dacbn.adapter import DomainAdapter
from dacbn.models import create_network
from dacbn.training import TrainConfig, decide, describe_decisions, read_run_info
from dacbn.training.run_info import RunInfo, write_run_info


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "follow"),
        ({"pretrained": True}, "frozen"),
        ({"pretrained": True, "norm": None}, "frozen"),
        ({"pretrained": True, "norm": "prediction_time_batch_norm"}, "follow"),
        ({"pretrained": True, "statistics": "slow"}, "slow"),
        ({"statistics": "frozen"}, "frozen"),
    ],
)
def test_pretrained_weights_freeze_the_statistics_unless_told_otherwise(options, expected):
    config = TrainConfig.from_options(**options)
    assert decide(config).statistics == expected
    chosen = config.statistics == "auto" and expected == "frozen"
    assert ("statistics='frozen'" in describe_decisions(config)) == chosen


def test_a_run_of_an_earlier_version_goes_on_following(tmp_path):
    write_run_info(tmp_path, RunInfo(TrainConfig(pretrained=True), ("a", "b"), 32))
    content = json.loads((tmp_path / "config.json").read_text())
    del content["training"]["statistics"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_run_info(tmp_path).config.statistics == "follow"


def test_config_json_holds_what_was_decided_and_the_network_comes_back_with_it(
    tiny, source, target, tmp_path
):
    tiny(norm="ucb_norm", steps=2, statistics="slow").fit(source, target, run=tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["training"]["statistics"] == "slow"
    again = DomainAdapter.from_pretrained(tmp_path, device="cpu")
    layers = [part for part in again.network.backbone.modules() if hasattr(part, "momentum")]
    assert layers and all(layer.momentum <= 0.01 for layer in layers)


@pytest.mark.parametrize("norm", [None, "ucb_norm", "domain_specific_batch_norm"])
def test_only_a_new_layer_at_the_input_follows_when_the_backbone_is_frozen(norm):
    network = create_network(
        "digits_cnn", norm, 5, input_norm="batch_norm", classifier=(8,), statistics="frozen"
    )
    before = {name: value.clone() for name, value in network.named_buffers()}
    network.train()(torch.rand(8, 3, 32, 32), torch.arange(8) % 2)
    moved = {n for n, value in network.named_buffers() if not torch.equal(value, before[n])}
    assert moved and all("input_norm" in name or "classifier" in name for name in moved)


def test_what_replaces_a_layer_norm_has_no_statistics_to_freeze():
    """Frozen at mean 0 and variance 1, it would normalise nothing, for ever."""
    layers = nn.Conv2d(3, 4, 8, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.LayerNorm(4)
    options = {"replaces": "layer_norm", "statistics": "frozen", "image_size": 8}
    network = create_network(nn.Sequential(*layers), "batch_norm", 5, **options)
    network.train()(torch.rand(8, 3, 8, 8))
    moved = [n for n, value in network.named_buffers() if "running_mean" in n and value.any()]
    assert moved == ["backbone.3.norm.running_mean"]


def test_a_norm_by_the_batch_cannot_be_frozen():
    with pytest.raises(ValueError, match="its statistics cannot be frozen"):
        create_network("digits_cnn", "prediction_time_batch_norm", 5, statistics="frozen")
