"""Load another run, which `dacbn evaluate` compares with."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter


def load_other(
    option: str,
    run: Path | None,
    own: "tuple[Path, DomainAdapter]",
    device: str,
    data_root: Path | None,
    found: Path | None,
) -> "DomainAdapter | None":
    """Load a run; None if there is none, or if it cannot be loaded and nobody asked for it.

    Args:
        option: that names it.
        run: its folder, if it was named.
        own: the run that is compared with it, and its folder.
        device: cpu, cuda, or auto.
        data_root: folder of the named datasets, if it has moved.
        found: the folder of one in the same comparison, taken if none was named.

    Raises:
        RunFolderError: it was named, and cannot be loaded.
        ValueError: it was named, and is the same run, or knows other classes.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.training import RunFolderError

    folder, adapter = own
    if run is None:
        if found is None:
            return None
        try:
            return DomainAdapter.from_pretrained(found, device, data_root)
        except RunFolderError:
            return None
    if run.resolve() == folder.resolve():
        raise ValueError(f"{option} is {run} itself: name another run")
    other = DomainAdapter.from_pretrained(run, device, data_root)
    if other.classes != adapter.classes:
        raise ValueError(f"{option} {run} has other classes than {folder}: name a run of the same")
    return other
