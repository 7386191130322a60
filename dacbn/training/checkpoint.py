"""Files of a run folder, written whole or not at all.

config.json and model.safetensors are what inference needs; checkpoint.pt is what a resumed
training needs besides.
"""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dacbn.models import Network

CONFIG, MODEL, CHECKPOINT = "config.json", "model.safetensors", "checkpoint.pt"


class StorageError(RuntimeError):
    """A file that could not be written."""


class RunFolderError(ValueError):
    """A folder that does not hold what a run leaves."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that a crash leaves the old one.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors wrap a full disk in errors of their own
        draft.unlink(missing_ok=True)
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        cause = "the disk is full" if full else str(error).splitlines()[0]
        raise StorageError(
            f"cannot write {path}: {cause}. What was there before is untouched; make room or "
            "choose another folder, then resume"
        ) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda draft: draft.write_text(text))


def save_network(folder: Path, network: torch.nn.Module, card: dict[str, Any]) -> None:
    """Write a network's weights, and the card that tells how to build it."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_json(folder / CONFIG, card)
    write_atomically(folder / MODEL, lambda draft: save_file(tensors, draft))


def read_card(folder: Path) -> dict[str, Any]:
    """Read what `save_network` wrote of the network.

    Raises:
        RunFolderError: there is no run, or its card cannot be read.
    """
    try:
        card: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise RunFolderError(
            f"{folder} is no run folder: it has no {CONFIG}. Name a folder that dacbn train made"
        ) from None
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{folder / CONFIG} is damaged ({error}); train again") from None
    return card


def load_weights(folder: Path, network: Network) -> None:
    """Load model.safetensors into a network built for it.

    Raises:
        RunFolderError: the file is missing, damaged, or of another network.
    """
    path = folder / MODEL
    if not path.exists():
        raise RunFolderError(
            f"{folder} has no {MODEL} yet: the run ended before its first checkpoint"
        )
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RunFolderError(
            f"{path} does not fit its {CONFIG}, or is damaged: {reason}"
        ) from error


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a training."""
    write_atomically(folder / CHECKPOINT, lambda draft: torch.save(state, draft))


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read the state of a training, on the CPU; None if it ended before its first checkpoint.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # a truncated zip file surfaces as any of half a dozen types
        reason = str(error).splitlines()[0]
        raise RunFolderError(f"{path} is damaged ({reason}); delete it to start anew") from error
    return state
