"""The settings and versions of runs, and names for runs that differ in them, for the report."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dacbn.training import Role, TrainConfig

SHOWN = ("dacbn", "torch", "timm", "scikit-learn", "numpy", "matplotlib")


def describe_config(config: TrainConfig) -> dict[str, str]:
    """Return all settings as text, by name."""
    return {name: _write(value) for name, value in config.to_json().items()}


def label_runs(configs: Mapping[str, TrainConfig]) -> dict[str, str]:
    """Name runs by the settings in which they differ, or by their folders if there are none.

    Args:
        configs: by folder.

    Returns:
        by folder, a name that no other run has.
    """
    settings = {folder: _result_settings(config) for folder, config in configs.items()}
    first = next(iter(settings.values()))
    differing = [name for name in first if len({each[name] for each in settings.values()}) > 1]
    names = {
        folder: ", ".join(each[name] for name in differing) for folder, each in settings.items()
    }
    unique = len(set(names.values())) == len(names)
    return names if unique else {folder: folder for folder in names}


def current_versions() -> dict[str, str]:
    """Return the installed versions, by name."""
    versions = {"python": platform.python_version()}
    for name in SHOWN:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # used from a folder, without installing
            continue
    return versions


def _write(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _result_settings(config: TrainConfig) -> dict[str, str]:
    """Return labels of the settings that affect the result, the method and norm first."""
    described, ignored = describe_config(config), config.names(Role.NEUTRAL | Role.UNREPORTED)
    naming, domains = config.names(Role.NAMING), config.names(Role.IMAGES)
    first = [name for name in reversed(naming) if name not in domains]
    last = [name for name in naming if name in domains]  # source before target
    labels = {name: described[name] for name in [*first, *last]}
    labels |= {name: f"{name} {text}" for name, text in described.items() if name not in naming}
    labels["norm"] = "own norms" if config.norm is None else labels["norm"]
    return {name: text for name, text in labels.items() if name not in ignored}
