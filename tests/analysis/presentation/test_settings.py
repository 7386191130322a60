"""What a run was made with: commands that can be typed again, and names that tell runs apart."""

import shlex

import pytest
import tyro

from dacbn.analysis.presentation.settings import (
    current_versions,
    describe_config,
    label_runs,
    train_command,
)
from dacbn.training import TrainConfig


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": None, "method": "cdan(entropy=True) + mcc", "steps": 7},
        {"pretrained": True, "classifier": (64, 32), "source": "my photos/amazon"},
        {"lr": 0.1, "clip_norm": 1.0, "norm": "ucb_norm(num_clusters=5)", "seed": 3},
    ],
)
def test_the_command_gives_the_settings_again(options):
    config = TrainConfig.from_options(**options)
    words = shlex.split(train_command(config))
    assert words[:2] == ["dacbn", "train"]
    assert tyro.cli(TrainConfig, args=words[2:]) == config


def test_only_what_is_no_default_is_typed():
    assert train_command(TrainConfig()) == "dacbn train"
    assert train_command(TrainConfig(steps=7)) == "dacbn train --steps 7"


def test_runs_are_named_by_what_differs():
    configs = {
        "runs/a": TrainConfig(norm=None, seed=1),
        "runs/b": TrainConfig(method="source_only", seed=2),
    }
    assert label_runs(configs) == {
        "runs/a": "dann, own norms, seed 1",
        "runs/b": f"source_only, {TrainConfig.norm}, seed 2",
    }


def test_runs_of_the_same_settings_are_named_by_their_folders():
    configs = {"runs/a": TrainConfig(), "runs/b": TrainConfig()}
    assert label_runs(configs) == {"runs/a": "runs/a", "runs/b": "runs/b"}


def test_what_changes_nothing_that_is_learned_names_no_run():
    configs = {
        "a": TrainConfig(steps=5, eval_every=1, norm="ucb_norm(assign='sample')"),
        "b": TrainConfig(steps=6, log_every=2, norm='ucb_norm( assign="sample" )'),
    }
    assert label_runs(configs) == {"a": "steps 5", "b": "steps 6"}


def test_settings_and_versions_are_text():
    described = describe_config(TrainConfig(classifier=(64, 32)))
    assert described["classifier"] == "64 32" and described["norm"] == TrainConfig.norm
    assert {"python", "torch", "numpy"} <= current_versions().keys()
