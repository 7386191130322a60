"""Folders for runs without --run or --output."""

import itertools
from pathlib import Path


def new_folder(name: str) -> Path:
    """Return a folder under runs/ that does not exist, numbered if the name is taken."""
    suffixes = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    folders = (Path("runs", name + suffix) for suffix in suffixes)
    return next(folder for folder in folders if not folder.exists())
