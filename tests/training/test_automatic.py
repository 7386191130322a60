"""Settings that a training decides itself: what pretrained weights switch on, and what else not."""

import dataclasses
import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from dacbn.adapter import DomainAdapter
from dacbn.batch import Output
from dacbn.methods import Method, methods
from dacbn.models import create_network
from dacbn.recipes import recipes
from dacbn.spec import Spec
from dacbn.training import TrainConfig, decide, describe_decisions, read_run_info, train_command
from dacbn.training.run_info import RunInfo, write_run_info

DECIDED = (
    *("statistics", "bottleneck", "classifier_start", "train", "backbone_lr_factor", "warmup"),
)


def values(config):
    return {name: getattr(config, name) for name in DECIDED}


PLAIN = {
    **{"statistics": "follow", "bottleneck": 0, "classifier_start": "random", "train": "all"},
    **{"backbone_lr_factor": 1.0, "warmup": 0.0},
}
FINE_TUNED = {
    **PLAIN,
    **{"statistics": "frozen", "classifier_start": "centres", "backbone_lr_factor": 0.15},
    "warmup": 0.1,
}


@pytest.fixture
def weights(tmp_path):
    """Write a file of weights, which stand for pretrained ones."""
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


def test_random_weights_are_trained_as_ever():
    assert values(decide(TrainConfig())) == PLAIN
    assert describe_decisions(TrainConfig()) == ""


def test_pretrained_weights_are_fine_tuned():
    config = TrainConfig(backbone="resnet10t", pretrained=True)
    assert values(decide(config)) == FINE_TUNED
    assert describe_decisions(config) == (
        "defaults for pretrained weights: statistics='frozen', classifier_start='centres', "
        "backbone_lr_factor=0.15, warmup=0.1, lr=0.0003"
    )


@pytest.mark.parametrize("given", [{"pretrained": True}, {"weights": "some.pth"}])
def test_pretrained_weights_change_the_defaults_of_other_settings(given):
    adapter = DomainAdapter("resnet10t", **given)
    expected = {"norm": None, "method": "mcc + dann", "augment": "colour", "steps": 150}
    expected |= {"source_batch_size": 32, "target_batch_size": 32}
    assert {name: getattr(adapter.config, name) for name in expected} == expected
    assert values(adapter.config) == FINE_TUNED
    assert "method='mcc + dann', augment='colour', steps=150" in describe_decisions(adapter.config)


def test_a_norm_or_method_that_is_given_stays():
    given = {"norm": "batch_norm", "method": "dann", "steps": 7}
    config = DomainAdapter("resnet10t", pretrained=True, **given).config
    assert {name: getattr(config, name) for name in given} == given
    assert DomainAdapter("resnet10t", None, pretrained=True).config.norm is None
    assert DomainAdapter().config == decide(TrainConfig())


def test_a_norm_of_the_batch_alone_follows_it():
    config = decide(TrainConfig(norm=Spec("prediction_time_batch_norm"), pretrained=True))
    assert config.statistics == "follow"


@pytest.mark.parametrize("given", [{"classifier": (8,)}, {"bottleneck": 8}])
def test_a_classifier_of_several_layers_starts_at_random(given):
    assert decide(TrainConfig(pretrained=True, **given)).classifier_start == "random"


@pytest.mark.parametrize("method", ["source_only", "source_and_target"])
def test_a_baseline_without_the_target_starts_without_it(method):
    config = TrainConfig(backbone="resnet10t", pretrained=True, method=Spec(method))
    assert decide(config).classifier_start == "probe"
    used = dataclasses.replace(config, method=Spec("mcc + source_only"))
    assert decide(used).classifier_start == "centres"


@pytest.mark.parametrize(
    ("method", "start"),
    [("dann + pada", "probe"), ("mcc + dann + pada", "probe"), ("osbp", "centres")],
)
def test_a_method_for_targets_that_lack_classes_starts_at_the_probe(method, start):
    config = TrainConfig(backbone="resnet10t", pretrained=True, method=Spec(method))
    assert decide(config).classifier_start == start
    assert f"classifier_start='{start}'" in describe_decisions(config)
    given = decide(dataclasses.replace(config, classifier_start="centres"))
    assert given.classifier_start == "centres"
    assert ("--classifier-start centres" in train_command(given)) == (start == "probe")


def test_a_recipe_for_pretrained_weights_is_as_published():
    config = decide(recipes["office31-dann-resnet50"]())
    assert (config.statistics, config.classifier_start) == ("follow", "random")


@pytest.mark.parametrize(
    ("method", "width"), [("mcc + bnm", 0), ("mcc + dann", 256), ("shot", 256)]
)
def test_a_frozen_backbone_leaves_something_to_adapt(method, width):
    config = TrainConfig(backbone="resnet10t", pretrained=True, train="head", method=method)
    assert values(decide(config)) == {**PLAIN, "train": "head", "bottleneck": width}
    assert describe_decisions(config) == (
        "defaults for train='head': bottleneck=256" if width else ""
    )


def test_a_head_without_the_target_starts_as_the_probe():
    config = TrainConfig(backbone="resnet10t", train="head", method="source_only")
    assert values(decide(config)) == {**PLAIN, "train": "head", "classifier_start": "probe"}
    assert describe_decisions(config) == (
        "defaults for train='head': classifier_start='probe', lr=0.0003"
    )
    deeper = dataclasses.replace(config, bottleneck=8)
    assert decide(deeper).classifier_start == "random"


@pytest.mark.parametrize("name", [n for n in methods if methods[n].forward is Method.forward])
def test_methods_of_predictions_are_those_that_do_not_look_at_features(name):
    torch.manual_seed(0)
    method = methods[name](create_network("digits_cnn", None, 3, bottleneck=6))
    features = torch.randn(2, 8, 6, requires_grad=True)
    logits = torch.randn(2, 8, 3, requires_grad=True)
    source, target = map(Output, features, logits)
    step = method.transfer(source, target, torch.arange(8) % 3, 0.5)
    if step.losses:  # pada has none of its own
        torch.stack([*step.losses.values()]).sum().backward()
        assert (features.grad is None) == method.of_predictions


def test_what_is_given_stays_and_is_not_announced():
    given = {**PLAIN, "bottleneck": 32, "train": "norms"}
    config = TrainConfig(backbone="resnet10t", pretrained=True, **given)
    assert decide(config) == config
    assert describe_decisions(config) == ""


def test_a_decided_configuration_is_final():
    decided = decide(TrainConfig(pretrained=True))
    assert decide(dataclasses.replace(decided, pretrained=False)) == dataclasses.replace(
        decided, pretrained=False
    )


def test_config_json_holds_what_was_decided(tiny, source, target, tmp_path, weights):
    options = {"backbone": "resnet10t", "norm": None, "steps": 1, "weights": weights}
    tiny(**options).fit(source, target, run=tmp_path / "run")
    written = json.loads((tmp_path / "run/config.json").read_text())["training"]
    assert {name: written[name] for name in DECIDED} == FINE_TUNED
    again = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu")
    assert values(again.config)["warmup"] == 0.1


def test_a_run_of_an_earlier_version_goes_on_as_it_began(tmp_path):
    write_run_info(tmp_path, RunInfo(TrainConfig(pretrained=True), ("a", "b"), 32))
    content = json.loads((tmp_path / "config.json").read_text())
    for name in DECIDED:
        del content["training"][name]
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert values(read_run_info(tmp_path).config) == PLAIN


def test_the_command_names_only_what_the_run_would_not_decide_itself():
    decided = decide(TrainConfig(pretrained=True))
    assert train_command(decided) == train_command(TrainConfig(pretrained=True))
    plain = dataclasses.replace(decided, backbone_lr_factor=1.0)
    assert "--backbone-lr-factor 1.0 --seed" in train_command(plain)
    assert "factor" not in train_command(decide(TrainConfig()))
