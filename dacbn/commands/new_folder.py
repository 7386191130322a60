"""Folders for runs without --run or --output."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dacbn.training import StorageError

RUNS = Path("runs")
LONGEST_NAME = 240  # bytes; systems take 255, and a number may be added


@contextmanager
def new_folder(name: str) -> Iterator[Path]:
    """Make a folder under runs/, numbered if the name is taken, for this process alone.

    It is removed at the end if nothing was written to it.

    Raises:
        StorageError: it cannot be made.
    """
    name = name.encode()[:LONGEST_NAME].decode(errors="ignore")
    parents = [] if RUNS.exists() else [RUNS]
    suffixes = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    folder = next(path for suffix in suffixes if _make(path := RUNS / (name + suffix)))
    try:
        yield folder
    finally:
        with suppress(OSError):  # it is not empty
            for each in (folder, *parents):
                each.rmdir()


def _make(folder: Path) -> bool:
    """Make a folder; False if the name is taken, also by a process that was a moment faster."""
    try:
        RUNS.mkdir(exist_ok=True)
        folder.mkdir()
    except FileExistsError as error:
        if not RUNS.is_dir():
            raise StorageError(folder, error) from error
        return False
    except OSError as error:
        raise StorageError(folder, error) from error
    return True
