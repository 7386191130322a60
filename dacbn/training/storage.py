"""Write files whole, and say why a file could not be written."""

import errno
import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from dacbn.models.first_line import first_line as first_line
from dacbn.processes import leads
from dacbn.spelling import spell

# Names of files need not be UTF-8; what is not is written as an escape.
UTF8 = {"encoding": "utf-8", "errors": "backslashreplace"}
FULL = {errno.ENOSPC, errno.EDQUOT}
READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}

LONGEST = "a name between two slashes has at most 255 bytes"  # on most systems


class StorageError(RuntimeError):
    """A file could not be written; the text gives the cause and the fix.

    Args:
        path: the file.
        error: the cause.

    Attributes:
        read_only: whether this process may not write there at all.
    """

    def __init__(self, path: Path, error: Exception) -> None:
        number = getattr(error, "errno", None)
        self.read_only = number in READ_ONLY
        # torch and safetensors raise their own errors when the disk is full
        full = number in FULL or "No space left" in str(error)
        cause, cure = first_line(error), "make room or choose another folder"
        if full:
            cause = "the disk is full"
        elif self.read_only:
            cause = f"{path.parent} is read-only ({cause})"
            elsewhere = f"with {spell('run')} or {spell('output')}"
            cure = f"make it writable or choose another folder, {elsewhere}"
        elif number == errno.ENAMETOOLONG:
            cure = f"choose a shorter name: {LONGEST}"
        elif isinstance(error, FileExistsError | NotADirectoryError) and not path.parent.is_dir():
            cause = f"{path.parent} is no folder"
        super().__init__(
            f"cannot write {path}: {cause}. What was saved before is untouched; {cure}, then run "
            "again"
        )


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a new draft and rename it, so that a crash leaves the old file intact.

    Of several processes, only the first writes.

    The draft has a name that no other process uses or can guess. A link at `path` is replaced;
    what it leads to is not touched.

    Args:
        path: the file.
        write: writes the content into the draft, an empty file whose path it receives.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    if not leads():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # not tempfile, which makes files readable by their owner only
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            write(draft)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise StorageError(path, error) from error
    _sync_folder(path.parent)


def remove_drafts(path: Path) -> None:
    """Remove the drafts of a file that killed processes have left; no other may be writing it."""
    for draft in path.parent.glob(f".{path.name}.*.part"):
        with suppress(OSError):
            draft.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_atomically(path, lambda draft: draft.write_text(text, **UTF8))


def write_output(path: Path, text: str) -> None:
    """Write text to a file that the user named.

    A device, a pipe, or what a link leads to is written to; a regular file is replaced.

    Raises:
        ValueError: the path is a folder.
        StorageError: the disk is full or the file cannot be written.
    """
    if path.is_dir():
        raise ValueError(f"{spell('output')} needs a file to write, and {path} is a folder")
    if leads() and (path.is_symlink() or (path.exists() and not path.is_file())):
        try:
            path.write_text(text, **UTF8)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StorageError(path, error) from error
    else:
        write_text(path, text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can do that."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
