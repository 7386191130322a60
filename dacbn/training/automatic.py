"""Settings that a training decides when it starts, by whether its weights are pretrained.

A value that is given stays.
"""

import dataclasses
from typing import Any

from dacbn.models import resolve_norm
from dacbn.training.config import TrainConfig

UNDECIDED = (None, "auto")
# what config.json of earlier versions, without these settings, means
FROM_SCRATCH: dict[str, Any] = {"statistics": "follow"}
FINE_TUNING = {**FROM_SCRATCH, "statistics": "frozen"}


def decide(config: TrainConfig) -> TrainConfig:
    """Return the settings with a value for each that is undecided.

    Example:
        >>> decide(TrainConfig(backbone="resnet18", pretrained=True)).statistics
        'frozen'
    """
    return dataclasses.replace(config, **_decisions(config))


def describe_decisions(config: TrainConfig) -> str:
    """Say in one line what `decide` switches on and why; empty if it is nothing."""
    chosen = {n: v for n, v in _decisions(config).items() if v != FROM_SCRATCH[n]}
    if not chosen:
        return ""
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    return f"chosen for pretrained weights, unless given: {options}"


def automatic_values(config: TrainConfig) -> dict[str, Any]:
    """Return the value that each of these settings has if it is not given, by name."""
    if not starts_pretrained(config):
        return FROM_SCRATCH
    by_batch = config.norm is not None and resolve_norm(config.norm)[0].always_by_batch
    return {**FINE_TUNING, "statistics": "follow"} if by_batch else FINE_TUNING


def starts_pretrained(config: TrainConfig) -> bool:
    """Whether the backbone starts from pretrained weights, of timm or of a file."""
    return config.pretrained or getattr(config, "weights", None) is not None


def _decisions(config: TrainConfig) -> dict[str, Any]:
    values = automatic_values(config)
    return {name: value for name, value in values.items() if getattr(config, name) in UNDECIDED}
