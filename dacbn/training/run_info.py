"""config.json of a run folder: everything needed to build the trained network again."""

import dataclasses
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dacbn.datasets import POSITIONS, folders_among, label_values
from dacbn.limits import Count, check_values, show
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.roles import RESUMABLE, Role
from dacbn.training.starting_defaults import FROM_SCRATCH
from dacbn.training.storage import first_line, write_json

CONFIG = "config.json"
CONTENT = {"classes": tuple[str, ...], "image_size": Count, "training": dict}
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
        trained_on: absolute paths of all folders and lists of files that it was trained on.
        unknown_threshold: entropy, in nats, above which an answer is "unknown", if it may be.
        label_kind: the form of the labels, as `dacbn.datasets.kind_of_labels` names it.
    """

    config: TrainConfig
    classes: tuple[str, ...]
    image_size: int
    trained_on: tuple[Path, ...] = ()
    unknown_threshold: float | None = None
    label_kind: str = POSITIONS


def write_run_info(folder: Path, info: RunInfo) -> None:
    """Write config.json, with the versions of python, torch and timm.

    Raises:
        StorageError: the folder cannot be written.
    """
    versions = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": version("timm"),
    }
    content = {
        "classes": list(info.classes),
        "image_size": info.image_size,
        "training": info.config.to_json(),
        "trained_on": list(map(str, info.trained_on)),
        "versions": versions,
    }
    if info.unknown_threshold is not None:
        content["unknown_threshold"] = info.unknown_threshold
    if info.label_kind != POSITIONS:
        content["labels"] = info.label_kind
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
        check_values("", CONTENT, {name: content[name] for name in CONTENT})
        if not content["classes"]:
            raise ValueError("it names no classes")
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        known -= set(TrainConfig.names(Role.ADDED))
        if lacking := sorted(known - content["training"].keys()):
            raise KeyError(", ".join(lacking))
        settings = {**FROM_SCRATCH, **content["training"], "download": False}
        config = TrainConfig.from_json(settings)
        given = [name for name in (*config.source, *config.target) if name != IN_MEMORY]
        known_folders = content.get("trained_on")  # missing in earlier versions
        if known_folders is None:
            trained_on = folders_among(*given)
        else:
            check_values("", {"trained_on": tuple[str, ...]}, {"trained_on": known_folders})
            trained_on = tuple(map(Path, known_folders))
        threshold = content.get("unknown_threshold")
        check_values("", {"unknown_threshold": float | None}, {"unknown_threshold": threshold})
        classes = tuple(content["classes"])
        kind = content.get("labels", POSITIONS)  # missing in earlier versions
        label_values(kind, classes)  # raises if it is none
        return RunInfo(config, classes, content["image_size"], trained_on, threshold, kind)
    except (KeyError, ValueError) as error:
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


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(
            f"{folder} is no run folder: it has no {CONFIG}. Give a folder that dacbn train wrote"
        ) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {first_line(error)}") from None
    except RecursionError:
        raise RunFolderError(f"{path} is damaged (nested too deeply); train again") from None
    except ValueError as error:  # no JSON, or not even text
        cure = "train again"
        if any((folder / name).exists() for name in ("model.safetensors", "checkpoint.pt")):
            cure = (
                f"the weights beside it are kept if you copy {CONFIG} from a run with the same "
                f"settings and classes, which dacbn train --steps 1 writes; or {cure}"
            )
        raise RunFolderError(f"{path} is damaged ({error}); {cure}") from None
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged (it holds {show(content)}); train again")
    return content
