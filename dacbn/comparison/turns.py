"""Several processes that write in one folder take turns."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dacbn.training import FolderInUseError, claim

PATIENCE = 60.0  # seconds; each needs less than one, to write the tables


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold a folder that several processes write in turn, each for a moment.

    Raises:
        FolderInUseError: one of them does not give it back.
    """
    until = time.monotonic() + PATIENCE
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(claim(folder))
                break
            except FolderInUseError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield
