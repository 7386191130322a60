"""Atomic file writes with clear error messages."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError


class StorageError(RuntimeError):
    """A file could not be written; the text gives the cause and the fix.

    Args:
        path: the file.
        error: the cause.
    """

    def __init__(self, path: Path, error: Exception) -> None:
        # torch and safetensors raise their own errors when the disk is full
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        cause = "the disk is full" if full else first_line(error)
        if isinstance(error, FileExistsError | NotADirectoryError):
            cause = f"{path.parent} is no folder"
        super().__init__(
            f"cannot write {path}: {cause}. What was saved before is untouched; make room or "
            "choose another folder, then run again (a training with --resume)"
        )


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a temporary file and rename it, so that a crash leaves the old file intact.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(draft)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise StorageError(path, error) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda draft: draft.write_text(text))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if there is no message."""
    reason = getattr(error, "strerror", None) or str(error)  # strerror: without the errno and path
    return (str(reason).strip() or type(error).__name__).splitlines()[0]
