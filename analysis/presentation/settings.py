"""What a run was made with, for people: its settings, versions, and the command to type again."""

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dacbn.registry import split_sum
from dacbn.training import TrainConfig
from dacbn.training.run_info import FREE

SHOWN = ("dacbn", "torch", "timm", "scikit-learn", "numpy", "matplotlib")
SPEAKING = ("method", "norm", "backbone", "source", "target")  # settings that need no name


def train_command(config: TrainConfig) -> str:
    """Write the command that trains under some settings; what is the default is left out."""
    default = vars(TrainConfig())
    parts = ["dacbn", "train"]
    for name, value in vars(config).items():
        if value == default[name]:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            parts.append(f"--{option}" if value else f"--no-{option}")
        else:
            values = value if isinstance(value, tuple) else (value,)
            parts += [f"--{option}", *map(str, values)]
    return shlex.join(parts)


def describe_config(config: TrainConfig) -> dict[str, str]:
    """Write out all settings."""
    return {name: _write(value) for name, value in config.to_json().items()}


def label_runs(configs: Mapping[str, TrainConfig]) -> dict[str, str]:
    """Name runs by the settings in which they differ; those that do not by their folders.

    Args:
        configs: by folder.

    Returns:
        by folder, a name that no other run has.
    """
    settings = {folder: _telling(config) for folder, config in configs.items()}
    first = next(iter(settings.values()))
    differing = [name for name in first if len({each[name] for each in settings.values()}) > 1]
    names = {
        folder: ", ".join(_short(name, each[name]) for name in differing)
        for folder, each in settings.items()
    }
    unique = len(set(names.values())) == len(names)
    return names if unique else {folder: folder for folder in names}


def current_versions() -> dict[str, str]:
    """Look up the versions that are installed."""
    versions = {"python": platform.python_version()}
    for name in SHOWN:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # used from a folder that was never installed
            continue
    return versions


def _write(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _telling(config: TrainConfig) -> dict[str, str]:
    """Write out the settings that change what is learned, the most telling first."""
    described = describe_config(config)
    described |= {  # the same specification in the same words
        name: " + ".join(split_sum(described[name])) for name in ("method", "norm")
    }
    order = [*SPEAKING, *(name for name in described if name not in SPEAKING)]
    return {name: described[name] for name in order if name not in FREE or name == "steps"}


def _short(name: str, value: str) -> str:
    """Name a setting that does not speak for itself."""
    if name == "norm" and value == "None":
        return "own norms"
    return value if name in SPEAKING else f"{name} {value}"
