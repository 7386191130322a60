"""Recalibrated networks: where they may be saved, and what is said of them."""

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter


FEW = 32
LOG = logging.getLogger(__name__)


def check_new_run(save: Path | None, recalibrate: bool) -> None:
    """Check where a recalibrated network is to be saved, before the work.

    Raises:
        ValueError: it holds a run, or nothing is recalibrated.
    """
    from dacbn.training import CONFIG

    if save is None:
        return
    if not recalibrate:
        raise ValueError("--save writes a recalibrated network: add --recalibrate")
    if (save / CONFIG).exists():
        raise ValueError(f"{save} holds a run: choose another --save")


def warn_if_few(count: int) -> None:
    """Warn if statistics are estimated from few images."""
    if count < FEW:
        images = "1 image" if count == 1 else f"{count} images"
        warnings.warn(
            f"statistics estimated on {images} are rough: recalibrate on {FEW} images or more",
            stacklevel=3,
        )


def save_recalibrated(adapter: "DomainAdapter", folder: Path) -> None:
    """Write a network to a run folder without records, and say so in the log."""
    adapter.save_pretrained(folder)
    LOG.info(f"wrote {folder}; next: dacbn predict {folder} IMAGES")
