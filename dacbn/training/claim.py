"""Claim a folder, so that two processes never write into it at the same time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dacbn.processes import leads
from dacbn.training.storage import StorageError

LOCK = ".lock"
UNCLAIMED = (".evaluation.", ".report.")  # drafts of files that are written without a claim


class FolderInUseError(RuntimeError):
    """Another process, or another training of this one, works in the folder."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold a folder alone; it is made if there is none, and removed if nothing is written to it.

    The lock is one of the operating system on a file in the folder: it ends with the process, also
    if that is killed. Of several processes of one training, the first holds it.

    Raises:
        ValueError: the folder is the current one.
        FolderInUseError: it is held already.
        StorageError: it cannot be made or written.
    """
    if not leads():
        yield
        return
    if folder == Path():
        raise ValueError("a run needs a folder of its own, not the current one: give its name")
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError | FileExistsError)
        obstacle = os.path.lexists(folder) and not folder.is_dir()
        if isinstance(error, Timeout) or (gone and not obstacle):  # its holder just removed it
            raise FolderInUseError(
                f"{folder} is in use by another process: wait until it ends, or choose another "
                "folder"
            ) from None
        raise StorageError(folder / LOCK, error) from error
    try:
        _remove_drafts(folder)
        yield
    finally:
        # while it is held: who opened the file before finds that it is gone, and asks again
        with suppress(OSError):  # some systems remove no open file
            (folder / LOCK).unlink()
            for each in made:
                each.rmdir()  # fails, as it should, if something was written
        lock.release()


def _remove_drafts(folder: Path) -> None:
    """Remove drafts that a killed process has left in a folder and in its snapshots."""
    for draft in (*folder.glob(".*.part"), *folder.glob("snapshots/.*.part")):
        if not draft.name.startswith(UNCLAIMED):
            with suppress(OSError):
                draft.unlink()
