"""Settings that a training decides when it starts, by whether its weights are pretrained.

A network that starts from random weights trains all of itself at one rate. Pretrained weights are
fine-tuned: the rate of the backbone is a fraction of that of the new layers, and it rises slowly,
because large gradients of untrained heads would spoil the features. Their statistics are frozen,
since a few dozen small batches undo them. Where the backbone is frozen,
methods that compare features get a bottleneck to adapt; those of predictions adapt the classifier,
a linear probe. A value that is given stays.
"""

import dataclasses
from typing import Any

from dacbn.methods import methods
from dacbn.models import resolve_norm
from dacbn.training.config import TrainConfig

UNDECIDED = (None, "auto")
# what config.json of earlier versions, without these settings, means
FROM_SCRATCH: dict[str, Any] = {
    "statistics": "follow",
    "bottleneck": 0,
    "train": "all",
    "backbone_lr_factor": 1.0,
    "warmup": 0.0,
}
FINE_TUNING: dict[str, Any] = {
    **FROM_SCRATCH,
    "statistics": "frozen",
    "backbone_lr_factor": 0.1,
    "warmup": 0.1,
}
WIDTH = 256  # of the bottleneck where the backbone is frozen


def decide(config: TrainConfig) -> TrainConfig:
    """Return the settings with a value for each that is undecided.

    Example:
        >>> decide(TrainConfig(backbone="resnet18", pretrained=True)).backbone_lr_factor
        0.1
    """
    return dataclasses.replace(config, **_decisions(config))


def describe_decisions(config: TrainConfig) -> str:
    """Say in one line what `decide` switches on and why; empty if it is nothing."""
    chosen = {n: v for n, v in _decisions(config).items() if v != FROM_SCRATCH[n]}
    if not chosen:
        return ""
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    reason = "--train head" if config.train == "head" else "pretrained weights"
    return f"chosen for {reason}, unless given: {options}"


def automatic_values(config: TrainConfig) -> dict[str, Any]:
    """Return the value that each of these settings has if it is not given, by name."""
    if config.train == "head":
        needs_features = any(not _is_of_predictions(name) for name in config.method.names)
        return {**FROM_SCRATCH, "bottleneck": WIDTH if needs_features else 0}
    if not starts_pretrained(config):
        return FROM_SCRATCH
    by_batch = config.norm is not None and resolve_norm(config.norm)[0].always_by_batch
    return {**FINE_TUNING, "statistics": "follow"} if by_batch else FINE_TUNING


def starts_pretrained(config: TrainConfig) -> bool:
    """Whether the backbone starts from pretrained weights, of timm or of a file."""
    return config.pretrained or getattr(config, "weights", None) is not None


def _is_of_predictions(method: str) -> bool:
    return method in methods and methods[method].of_predictions


def _decisions(config: TrainConfig) -> dict[str, Any]:
    values = automatic_values(config)
    return {name: value for name, value in values.items() if getattr(config, name) in UNDECIDED}
