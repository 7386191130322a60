"""The settings as keyword arguments, for editors and type checkers.

These repeat the names and types of `setting_groups`, since no type can be derived from a dataclass
that takes text for a `Spec` or `Path`. tests/training/test_setting_types.py names a line that is
missing.
"""

import dataclasses
from collections.abc import Callable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, get_type_hints

from torch import nn

from dacbn.training.config import TrainConfig

T = TypeVar("T", bound=Callable[..., Any])


class AdaptationOptions(TypedDict, total=False):
    """Settings that an adaptation may change."""

    data_root: str | Path
    download: bool
    augment: Literal["auto", "digits", "photos", "colour", "none"]
    columns: str | tuple[str, ...]
    on_unreadable: Literal["skip", "raise"]
    cache: str
    train: Literal["auto", "all", "norms", "head"]
    classifier_start: Literal["auto", "random", "probe", "centres"]
    steps: int
    target_batch_size: int
    optimizer: Literal["adamw", "sgd"]
    lr: float | None
    backbone_lr_factor: float | None
    warmup: float | None
    schedule: Literal["constant", "cosine", "dann"]
    weight_decay: float
    clip_norm: float | None
    ema_decay: float | None
    seed: int
    sync_group: int
    process_timeout: float
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    compile: bool
    log_every: int
    eval_every: int
    checkpoint_every: int
    snapshot_every: int
    validators: str | tuple[str, ...]
    tensorboard: bool


class TrainingOptions(AdaptationOptions, total=False):
    """Settings of a training besides backbone, norm and method."""

    source: str | tuple[str, ...]
    target: str | tuple[str, ...]
    target_labelled: str | tuple[str, ...]
    unseen: str | tuple[str, ...]
    merge_sources: bool
    merge_targets: bool
    balance_domains: bool
    unknown: bool
    image_size: int | None
    fit: Literal["crop", "pad", "squeeze"]
    pretrained: bool
    weights: str | None
    weights_sha256: str | None
    pixel_mean: tuple[float, float, float] | None
    pixel_std: tuple[float, float, float] | None
    norm_sites: str
    norm_replaces: Literal["batch_norm", "layer_norm"]
    input_norm: str | None
    statistics: Literal["auto", "follow", "slow", "frozen"]
    cluster_ids: Literal["domain", "random", "swapped"]
    classifier: tuple[int, ...]
    classifier_temperature: float | None
    bottleneck: int | None
    source_batch_size: int
    balance_classes: bool
    labelled_batch_size: int


def parameters_of_settings(*first: str, **defaults: Any) -> list[Parameter]:
    """Return all settings as parameters, with the types that a user may give.

    Args:
        first: the settings that may be given by position; the others are given by name.
        defaults: values to show in place of those of `TrainConfig`.
    """
    types = {
        **get_type_hints(TrainingOptions),
        "backbone": str | nn.Module,
        "norm": str | None,
        "method": str,
    }
    by_name = {
        field.name: Parameter(
            field.name,
            Parameter.POSITIONAL_OR_KEYWORD if field.name in first else Parameter.KEYWORD_ONLY,
            default=defaults.get(field.name, field.default),
            annotation=types[field.name],
        )
        for field in dataclasses.fields(TrainConfig)
    }
    others = [each for name, each in by_name.items() if name not in first]
    return [*map(by_name.__getitem__, first), *others]


def signature_of_settings(*first: str) -> Signature:
    """Return the signature of a class with all settings, for `help` and notebooks.

    Args:
        first: the settings that may be given by position; the others are given by name.
    """
    return Signature(parameters_of_settings(*first))


def shows_settings(**defaults: Any) -> Callable[[T], T]:
    """Show all settings in the signature of a constructor, whose arguments they are.

    Args:
        defaults: the default of each setting that depends on others.
    """

    def show(constructor: T) -> T:
        own = list(signature(constructor).parameters.values())
        named = [each.name for each in own if each.kind is Parameter.POSITIONAL_OR_KEYWORD][1:]
        shown = [own[0], *parameters_of_settings(*named, **defaults)]
        constructor.__signature__ = Signature(shown)  # type: ignore[attr-defined]
        return constructor

    return show
