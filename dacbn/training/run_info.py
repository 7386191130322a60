"""config.json of a run folder: everything needed to build the trained network again."""

import dataclasses
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.roles import RESUMABLE, Role
from dacbn.training.storage import first_line, write_json

CONFIG = "config.json"
IN_MEMORY = "in memory"  # the recorded name of a domain that was given as images


class RunFolderError(ValueError):
    """The folder is not a complete run folder."""


@dataclass(frozen=True)
class RunInfo:
    """The settings, classes and image size of a trained network.

    Args:
        config: the settings of the training.
        classes: class names, in the order of the logits.
        image_size: pixels per side.
    """

    config: TrainConfig
    classes: tuple[str, ...]
    image_size: int


def write_run_info(folder: Path, info: RunInfo) -> None:
    """Write config.json, with the versions of python, torch and timm.

    Raises:
        StorageError: the folder cannot be written.
    """
    versions = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": timm.__version__,
    }
    content = {
        "classes": list(info.classes),
        "image_size": info.image_size,
        "training": info.config.to_json(),
        "versions": versions,
    }
    write_json(folder / CONFIG, content)


def read_run_info(folder: Path) -> RunInfo:
    """Read the config.json that `write_run_info` wrote.

    `download` is off in the settings that are returned: a run that came from somewhere else must
    not download anything.

    Raises:
        RunFolderError: there is no config.json, it lacks a setting, or it cannot be read.
    """
    content = _read_json(folder)
    try:
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        known -= set(TrainConfig.names(Role.ADDED))
        if lacking := sorted(known - content["training"].keys()):
            raise KeyError(", ".join(lacking))
        config = TrainConfig.from_json({**content["training"], "download": False})
        return RunInfo(config, tuple(map(str, content["classes"])), int(content["image_size"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"{folder / CONFIG} was not written by this version of dacbn: {reason}"
        ) from None


def check_resumable(folder: Path, config: TrainConfig) -> None:
    """Check that the run in a folder may be resumed under these settings.

    Raises:
        ValueError: a setting differs that a resumed training may not change.
    """
    began, now, free = vars(read_run_info(folder).config), vars(config), config.names(RESUMABLE)
    if differing := [name for name in now if began[name] != now[name] and name not in free]:
        raise ValueError(
            f"{folder} began with another {', '.join(map(spell, differing))}: resume it with its "
            "own settings, from DomainAdapter.from_run(folder), or choose another folder"
        )


def _read_json(folder: Path) -> Any:
    path = folder / CONFIG
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(
            f"{folder} is no run folder: it has no {CONFIG}. Give a folder that dacbn train wrote"
        ) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {first_line(error)}") from None
    except ValueError as error:  # no JSON, or not even text
        cure = "train again"
        if any((folder / name).exists() for name in ("model.safetensors", "checkpoint.pt")):
            cure = (
                f"the weights beside it are kept if you copy {CONFIG} from a run with the same "
                f"settings and classes, which dacbn train --steps 1 writes; or {cure}"
            )
        raise RunFolderError(f"{path} is damaged ({error}); {cure}") from None
