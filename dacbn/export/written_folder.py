"""Write a folder whole, or not at all."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from dacbn.spelling import spell
from dacbn.training import StorageError


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Fill a draft of a folder, then give it its name.

    Args:
        path: the folder, which does not exist or is empty.
        fill: writes the files into the draft, whose path it receives; what it raises leaves nothing
            behind.

    Raises:
        ValueError: there is something at `path`.
        StorageError: the folder cannot be written.
    """
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise ValueError(f"{path} is there already: delete it, or choose another {spell('output')}")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        draft.mkdir(parents=True)
        fill(draft)
        draft.replace(path)
    except OSError as error:
        raise StorageError(path, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
