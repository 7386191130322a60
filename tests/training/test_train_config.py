"""Settings: what is accepted, and what is said of the rest."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dacbn.spec import Spec
from dacbn.training import TrainConfig, choose_device
from dacbn.training.setting_names import ELSEWHERE


def test_the_defaults_are_accepted():
    assert TrainConfig.from_options() == TrainConfig()


def test_settings_survive_their_json():
    config = TrainConfig.from_options(data_root=Path("a/b"), lr=0.25, norm=None, seed=3)
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("steps", 0, "steps must be at least 1, got 0"),
        ("source_batch_size", -1, "source_batch_size must be at least 1"),
        ("target_batch_size", 0, "target_batch_size must be at least 1"),
        ("log_every", 0, "log_every must be at least 1"),
        ("image_size", 0, "image_size must be at least 1"),
        ("eval_every", -1, "eval_every must be at least 0"),
        ("checkpoint_every", -1, "checkpoint_every must be at least 0"),
        ("seed", -1, "seed must be at least 0"),
        ("weight_decay", -0.1, "weight_decay must be at least 0"),
        ("lr", 0, "lr must be positive and finite"),
        ("lr", float("nan"), "lr must be a finite number, got nan"),
        ("lr", float("inf"), "lr must be a finite number, got inf"),
        ("clip_norm", 0, "clip_norm must be positive"),
        ("clip_norm", -1, "clip_norm must be positive"),
        ("bottleneck", -1, "bottleneck must be at least 0, got -1"),
        ("backbone_lr_factor", 0, "backbone_lr_factor must be positive and finite, got 0"),
        ("warmup", 1, r"warmup must be in \[0, 1\), got 1"),
        ("train", "heads", "train must be one of auto, all, norms, head, got 'heads'"),
        ("ema_decay", 1, r"ema_decay must be in \[0, 1\), got 1"),
        ("optimizer", "adam", "optimizer must be one of adamw, sgd, got 'adam'"),
        ("schedule", "linear", "schedule must be one of constant, cosine, dann, got 'linear'"),
        ("precision", "fp16", "precision must be one of auto, float32, bfloat16"),
        ("augment", "digit", "augment must be one of auto, digits, photos, colour, none"),
        ("on_unreadable", "ignore", "on_unreadable must be one of skip, raise"),
        ("classifier", 5, r"classifier must be a tuple such as \(64, 64\), got 5"),
        ("method", None, "method must be text such as 'dann', got None"),
    ],
)
def test_what_cannot_work_is_refused(option, value, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig.from_options(**{option: value})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        *(("step", "steps"), ("Steps", "steps"), ("weight-decay", "weight_decay")),
        *(("learning_rate", "lr"), ("epochs", "steps"), ("random_state", "seed")),
        ("batch_size", "source_batch_size and target_batch_size"),
        ("zzz", None),
    ],
)
def test_an_unknown_option_names_the_nearest_and_all(name, nearest):
    with pytest.raises(ValueError, match=f"unknown option '{name}'") as caught:
        TrainConfig.from_options(**{name: 1})
    assert ("Did you mean" in str(caught.value)) == (nearest is not None)
    assert nearest is None or f"Did you mean {nearest}?" in str(caught.value)
    for field in dataclasses.fields(TrainConfig):
        assert field.name in str(caught.value)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "meta", "privateuseone", "lazy"])
def test_a_device_that_is_not_there_is_refused_in_one_line(device):
    with pytest.raises(ValueError, match=r"cannot use .*: choose device=.auto. or") as caught:
        choose_device(device)
    assert "\n" not in str(caught.value)


def test_text_becomes_what_it_names():
    config = TrainConfig(norm=" ucb_norm( )", method="dann+mcc", data_root="a/b", classifier=[8])
    assert isinstance(config.norm, Spec) and config.norm == "ucb_norm"
    assert config.method.names == ("dann", "mcc") and config.input_norm is None
    assert config.data_root == Path("a/b") and config.classifier == (8,)
    assert json.loads(json.dumps(config.to_json()))["method"] == "dann + mcc"


def test_widths_are_checked_one_by_one():
    with pytest.raises(
        ValueError, match=r"classifier must be a tuple, each at least 1, got \(8, 0\)"
    ):
        TrainConfig.from_options(classifier=(8, 0))


SCALARS = {
    "steps": [np.int64(3), np.int32(3), np.uint8(3), np.array(3), torch.tensor(3)],
    "lr": [np.float64(0.5), np.float32(0.5), np.float16(0.5), np.array(0.5), torch.tensor(0.5)],
    "pretrained": [np.bool_(True), np.array(True)],
    "backbone": [np.str_("resnet18")],
    "classifier": [np.array([8, 4]), [np.int64(8), 4], torch.tensor([8, 4]), (8, np.array(4))],
    "device": [torch.device("cpu")],
}
PLAIN = {"steps": 3, "lr": 0.5, "pretrained": True, "backbone": "resnet18", "classifier": (8, 4)}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SCALARS.items() for value in values]
)
def test_numbers_of_numpy_and_torch_are_those_of_python(name, value):
    config = TrainConfig.from_options(**{name: value})
    expected = {"device": "cpu", **PLAIN}[name]
    assert getattr(config, name) == expected and type(getattr(config, name)) is type(expected)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_names_of_other_libraries_lead_to_settings_that_exist():
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    for settings, others in ELSEWHERE.items():
        assert set(settings.split(" and ")) <= names and not names & set(others)
