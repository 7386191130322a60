"""The settings of a run as others may see them: names of data, and no paths of this machine."""

import dataclasses
from pathlib import Path, PurePath

from dacbn.datasets import datasets
from dacbn.datasets.hugging_face import is_named
from dacbn.training import TrainConfig, name_places, name_unseen
from dacbn.training.run_info import IN_MEMORY

CACHES = ("auto", "none")  # other values are folders


def publish(config: TrainConfig) -> TrainConfig:
    """Return the settings with every path as the name of a domain, or of a file.

    Example:
        >>> config = TrainConfig(source=("mnist",), target=("/home/me/photos",))
        >>> publish(config).target
        ('photos',)
    """
    names, count = name_places(config), len(config.source)
    return dataclasses.replace(
        config,
        source=_names(config.source, names[:count]),
        target=_names(config.target, names[count:]),
        unseen=_names(config.unseen, name_unseen(config)),
        target_labelled=_names(config.target_labelled, config.target_labelled),
        weights=None if config.weights is None else PurePath(config.weights).name,
        data_root=Path("data"),
        cache=config.cache if config.cache in CACHES else "auto",
    )


def _names(places: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what stands for each place: what is known by a name everywhere keeps it."""
    return tuple(
        place if _is_known(place) else published_name(name)
        for place, name in zip(places, names, strict=True)
    )


def _is_known(place: str) -> bool:
    return place == IN_MEMORY or place in datasets or is_named(place)


def published_name(name: str) -> str:
    """Return the name of a domain, or the last part of it where it is a whole path."""
    path = PurePath(name)
    return path.name if path.is_absolute() or name.startswith("~") else name
