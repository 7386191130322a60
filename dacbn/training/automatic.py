"""What a training decides itself, by whether its weights are pretrained.

A network that starts from random weights trains all of itself at one rate. Pretrained weights are
fine-tuned. Their backbone keeps its BatchNorms with frozen statistics, since a few dozen small
batches undo them. Its rate is a fraction of that of the new layers and rises slowly, and the
classifier starts at the class centres of both domains, because large gradients of an untrained
one would spoil the features, and the answers of a probe on the source alone are what the training
would make sure of. Methods for targets that lack classes start at the probe: the centre of a class
without images is drawn to those of others. Where the backbone is frozen, methods that compare
features get a bottleneck to adapt; those of predictions adapt the classifier, which starts as the
probe if they do not use the target. A value that is given stays.
"""

import dataclasses
from typing import Any

from dacbn.methods import methods
from dacbn.models import resolve_norm
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.schedules import default_lr
from dacbn.training.starting_defaults import (
    FINE_TUNING,
    FROM_SCRATCH,
    starting_defaults,
    starts_as_probe,
    starts_pretrained,
)

UNDECIDED = (None, "auto")
WIDTH = 256  # of the bottleneck where the backbone is frozen


def decide(config: TrainConfig) -> TrainConfig:
    """Return the settings with a value for each that is undecided.

    Example:
        >>> decide(TrainConfig(backbone="resnet18", pretrained=True)).statistics
        'frozen'
    """
    return dataclasses.replace(config, **_decisions(config))


def describe_decisions(config: TrainConfig) -> str:
    """Say in one line what differs from a training of random weights, and why; empty if nothing."""
    defaults, usual = automatic_values(config), {**vars(TrainConfig()), **FROM_SCRATCH}
    usual |= _by_method(config)
    decided = vars(decide(config))
    chosen = {n: v for n, v in defaults.items() if decided[n] == v and v != usual[n]}
    announced = starts_pretrained(config) or config.train == "head"
    if announced and config.lr is None and starts_as_probe(decide(config)):
        chosen["lr"] = default_lr(decide(config))
    if not chosen:
        return ""
    reason = spell("train", "head") if config.train == "head" else "pretrained weights"
    words = [f"{spell(n)} None" if v is None else spell(n, v) for n, v in chosen.items()]
    return f"defaults for {reason}: {', '.join(words)}"


def automatic_values(config: TrainConfig) -> dict[str, Any]:
    """Return the value that each of these settings has if it is not given, by name."""
    return {**_by_start(config), **_by_method(config)}


def _by_start(config: TrainConfig) -> dict[str, Any]:
    pretrained = starts_pretrained(config)
    defaults = starting_defaults(pretrained, config.train)
    if config.train == "head":
        needs_features = any(not _is_of_predictions(name) for name in config.method.names)
        values = {**defaults, **FROM_SCRATCH, "bottleneck": WIDTH if needs_features else 0}
        if not (config.classifier or config.bottleneck or _uses_target_images(config)):
            values["classifier_start"] = "probe"  # which `source_only` is then
        return values
    if not pretrained:
        return FROM_SCRATCH
    values = {**defaults, **FINE_TUNING}
    if config.norm is not None and resolve_norm(config.norm)[0].always_by_batch:
        values["statistics"] = "follow"
    if config.classifier or config.bottleneck:
        values["classifier_start"] = "random"  # a probe is one linear layer on the features
    elif not _uses_target_images(config):
        values["classifier_start"] = "probe"  # a baseline without the target stays one
    elif any(_is_for_fewer_classes(name) for name in config.method.names):
        values["classifier_start"] = "probe"  # centres of classes without images mislead others
    return values


def _by_method(config: TrainConfig) -> dict[str, Any]:
    known = [methods[name] for name in config.method.names if name in methods]
    wanted = [each.classifier_temperature for each in known if each.classifier_temperature]
    return {"classifier_temperature": wanted[0] if wanted else None}


def _uses_target_images(config: TrainConfig) -> bool:
    names = config.method.names
    return any(name not in methods or methods[name].uses_target for name in names)


def _is_for_fewer_classes(method: str) -> bool:
    return method in methods and methods[method].target_lacks_classes


def _is_of_predictions(method: str) -> bool:
    return method in methods and methods[method].of_predictions


def _decisions(config: TrainConfig) -> dict[str, Any]:
    values = automatic_values(config)
    return {name: values[name] for name in FROM_SCRATCH if getattr(config, name) in UNDECIDED}
