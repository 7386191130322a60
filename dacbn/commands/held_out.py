"""Outputs on held-out source images, for a run that was trained without them."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dacbn.training import StorageError

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter


def hold_out(adapter: "DomainAdapter", run: Path) -> None:
    """Run the network of a run on the test split of its source, and write the outputs into the run.

    Raises:
        ValueError: the source is not at hand.
    """
    from dacbn.training import IN_MEMORY, save_held_out

    try:
        if IN_MEMORY in adapter.config.source:
            raise ValueError("it was given as arrays")
        adapter.hold_out(*adapter.config.source)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{run} has no outputs on held-out source images, which --label-shift needs, and its "
            f"source cannot be read ({error}): evaluate where the source is, or train again"
        ) from error
    try:
        save_held_out(run, adapter.held_out)
    except StorageError as error:
        if not error.read_only:
            raise
        warnings.warn(f"held-out outputs are not written: {run} is read-only", stacklevel=2)
