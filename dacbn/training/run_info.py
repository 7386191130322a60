"""config.json of a run folder: what it takes to build the trained network again."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from dacbn.training.config import TrainConfig
from dacbn.training.storage import first_line, write_json

CONFIG = "config.json"
IN_MEMORY = "in memory"  # the recorded name of a domain that was given as images
FREE = {  # what a resumed training may change
    *("steps", "device", "compile", "data_root", "download", "on_unreadable", "tensorboard"),
    *("log_every", "eval_every", "checkpoint_every", "snapshot_every", "validators"),
}


class RunFolderError(ValueError):
    """A folder that does not hold what a run leaves."""


@dataclass(frozen=True)
class Card:
    """What a network was made with.

    Args:
        config: the settings of its training.
        classes: class names, in the order of the logits.
        image_size: pixels per side.
    """

    config: TrainConfig
    classes: tuple[str, ...]
    image_size: int


def write_card(folder: Path, card: Card) -> None:
    """Write a card, and the versions it was made with.

    Raises:
        StorageError: the folder cannot be written.
    """
    versions = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": timm.__version__,
    }
    content = {
        "classes": list(card.classes),
        "image_size": card.image_size,
        "training": card.config.to_json(),
        "versions": versions,
    }
    write_json(folder / CONFIG, content)


def read_card(folder: Path) -> Card:
    """Read what `write_card` wrote.

    Raises:
        RunFolderError: there is no run, or its card cannot be read.
    """
    content = _read_json(folder)
    try:
        config = TrainConfig.from_json(content["training"])
        return Card(config, tuple(map(str, content["classes"])), int(content["image_size"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"{folder / CONFIG} is not one that this dacbn wrote: {reason}"
        ) from None


def check_resumable(folder: Path, config: TrainConfig) -> None:
    """Check that a checkpoint fits these settings.

    Raises:
        ValueError: the run in the folder began with others.
    """
    began, now = read_card(folder).config.to_json(), config.to_json()
    if differing := [name for name in now if began[name] != now[name] and name not in FREE]:
        raise ValueError(
            f"{folder} began with another {', '.join(differing)}: resume it under the settings it "
            "has, as DomainAdapter.from_run(folder) gives them, or name another folder"
        )


def _read_json(folder: Path) -> Any:
    path = folder / CONFIG
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(
            f"{folder} is no run folder: it has no {CONFIG}. Name a folder that dacbn train made"
        ) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {first_line(error)}") from None
    except ValueError as error:  # no JSON, or not even text
        raise RunFolderError(f"{path} is damaged ({error}); train again") from None
