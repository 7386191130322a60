"""Write a file, and those beside it that it names, whole or not at all."""

import shutil
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from dacbn.training import StorageError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write into a draft folder, under the same name, then move all files beside `path`.

    Args:
        path: the file.
        write: writes and checks the file whose path it receives; what it raises leaves nothing
            behind.

    Raises:
        ValueError: there is a folder at `path`.
        StorageError: the file cannot be written.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it")
    folder = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        folder.mkdir(parents=True)
        write(folder / path.name)
        for file in sorted(folder.iterdir(), reverse=True):  # what is named before what names it
            file.replace(path.with_name(file.name))
    except OSError as error:
        raise StorageError(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
