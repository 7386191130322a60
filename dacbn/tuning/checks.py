"""What can be known before the first trial: the space, the validators, the domains and networks."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dacbn.comparison.cells import check_settings
from dacbn.datasets import is_flat_folder, is_stream
from dacbn.limits import show
from dacbn.spelling import spell
from dacbn.training import (
    TrainConfig,
    TrainingDomains,
    check_start,
    choose_device,
    choose_size,
    create_state,
    decide,
)
from dacbn.training.validators import without_target
from dacbn.tuning.space import Node, extremes, with_whole_numbers

SHARED = ("source", "target", "target_labelled", "unseen", "data_root", "validators", "eval_every")


def check_space(space: Mapping[str, Node], config: TrainConfig) -> dict[str, Node]:
    """Check every alternative and both ends of every range, each with the other settings as given.

    Returns:
        the space, with the ranges marked that hold whole numbers.

    Raises:
        ValueError: a setting is unknown, or all trials share it, or it cannot have a value.
    """
    for name in space:
        if name in SHARED:
            raise ValueError(
                f"all trials share {spell(name)}: leave {name} out of {spell('space')}"
            )

    def mark(name: str, node: Node) -> Node:
        def accepts(value: Any) -> bool:
            try:
                check_settings(TrainConfig.from_options(**{**vars(config), name: value}))
            except ValueError:
                return False
            return True

        return with_whole_numbers(node, accepts)

    marked = {name: mark(name, node) for name, node in space.items()}
    for changed, values in of_extremes(marked):
        try:
            check_settings(TrainConfig.from_options(**{**vars(config), changed: values}))
        except ValueError as error:
            raise ValueError(f"{spell('space')} has {changed}={show(values)}: {error}") from None
    return marked


def of_extremes(space: Mapping[str, Node]) -> list[tuple[str, Any]]:
    """List each setting with each of its extreme values."""
    return [(name, value) for name, node in space.items() for value in extremes(node)]


def check_validators(names: Sequence[str], config: TrainConfig) -> None:
    """Check that validators are known and can be computed.

    Raises:
        UnknownNameError: there is no validator of that name.
        ValueError: none is given, one is given twice, or the domains do not allow one.
    """
    able, option = without_target(names), spell("validator")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{option} needs at least one name, and each once")
    if streams := [each for each in config.source if is_stream(each)]:
        raise ValueError(
            f"validators score held-out images of the source, and {streams[0]} is a stream, which "
            "has none: copy its shards here and give their path"
        )
    sampled = config.target and not any(map(is_stream, config.target))
    if not sampled and len(able) < len(names):
        missing = "is a stream, of which no images can be drawn" if config.target else "is missing"
        raise ValueError(
            f"{next(name for name in names if name not in able)} looks at the target, which "
            f"{missing}: choose {spell('validator', 'source_accuracy')}"
        )


def check_trials(config: TrainConfig, space: Mapping[str, Node]) -> None:
    """Load the domains and build every network once.

    Raises:
        ValueError: the domains or networks do not work.
    """
    device = choose_device(config.device)
    scored = config.target or config.unseen
    flat = any(is_flat_folder(place, config.columns) for place in scored)
    check_start(config)
    size = choose_size(config, device, *config.source, *config.target)
    domains = TrainingDomains.read(
        *(config, size, config.source, config.target, config.source),
        target_tests=() if flat else [None if is_stream(each) else each for each in scored],
        labelled_targets=config.target_labelled,
    )
    changes = [{name: value} for name, value in of_extremes(space) if value != vars(config)[name]]
    for change in [{}, *changes]:
        trial = TrainConfig.from_options(**{**vars(config), **change})
        untrained = dataclasses.replace(decide(trial), pretrained=False, weights=None)
        try:
            create_state(untrained, len(domains.classes), size, torch.device("cpu"))
        except ValueError as error:
            if not change:
                raise
            ((name, value),) = change.items()
            raise ValueError(f"{spell('space')} has {name}={show(value)}: {error}") from None
