"""The look that all figures share: colours that colour-blind readers tell apart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito's palette, https://jfly.uni-koeln.de/color/.
SOURCE_COLOUR = "#0072B2"
TARGET_COLOUR = "#D55E00"
NEUTRAL_COLOUR = "#555555"


def clean(axes: Axes, x: str, y: str, title: str) -> None:
    """Label axes and take away what carries no information."""
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3, linewidth=0.5)


def save_figure(figure: Figure, stem: Path, arrays: Mapping[str, NDArray[Any]]) -> list[Path]:
    """Write a figure as PNG and SVG, and the arrays behind it as npz; return the files."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = [stem.with_suffix(suffix) for suffix in (".png", ".svg", ".npz")]
    for file in files[:2]:
        figure.savefig(file, dpi=150)
    np.savez(files[2], **arrays)  # type: ignore[arg-type]  # older numpy would save allow_pickle too
    return files
