"""Load another run, which `dacbn evaluate` compares with."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter


def load_other(
    run: Path | None, asked_for: bool, device: str, data_root: Path | None
) -> "DomainAdapter | None":
    """Load a run; None if there is none, or if it cannot be loaded and nobody asked for it.

    Args:
        run: its folder.
        asked_for: whether it was named, and not found in the same comparison.
        device: cpu, cuda, or auto.
        data_root: folder of the named datasets, if it has moved.

    Raises:
        RunFolderError: it was asked for, and cannot be loaded.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.training import RunFolderError

    if run is None:
        return None
    try:
        return DomainAdapter.from_pretrained(run, device, data_root)
    except RunFolderError:
        if asked_for:
            raise
        return None
