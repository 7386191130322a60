"""The command that repeats a training."""

import shlex

import pytest
import tyro

from dacbn import cli
from dacbn.training import TrainConfig, train_command

UCB = "ucb_norm(num_clusters=2, assign='sample')"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": None, "pretrained": True, "image_size": 64, "classifier": (10, 20)},
        {"method": "cdan(entropy=True) + mcc", "lr": 1e-05, "validators": ()},
        {"source": "my photos/a$b", "norm": 'batch_norm(eps=1e-3) + x(y="z")', "steps": 3},
        {"cluster_ids": "random", "input_norm": "instance_norm", "download": True},
        {"lr": 0.1, "clip_norm": 1.0, "norm": "ucb_norm(num_clusters=5)", "seed": 3},
    ],
)
def test_the_command_gives_the_settings_back(options):
    config = TrainConfig(**options)
    words = shlex.split(train_command(config))
    assert words[:2] == ["dacbn", "train"]
    assert tyro.cli(TrainConfig, args=words[2:], registry=cli.ARGUMENTS) == config


def test_the_command_reads_well():
    config = TrainConfig(norm=UCB, steps=30, method="source_only", seed=4)
    assert train_command(config) == (
        "dacbn train --source digits --target color_digits --backbone digits_cnn --norm "
        "\"ucb_norm(num_clusters=2, assign='sample')\" --method source_only --steps 30 --seed 4"
    )
