"""The style that all figures share: colours for colour-blind readers, sizes, and file formats.

Figures have the width of a column or page, so that their text has the right size in print. They are
made without pyplot, which would need a display and change the settings of a notebook.
"""

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

from dacbn.analysis.helping_process import finish
from dacbn.analysis.presentation.drawing import draw
from dacbn.analysis.presentation.figure_text import make_plain
from dacbn.plain_text import plain
from dacbn.training import write_atomically

# Okabe and Ito's palette, https://jfly.uni-koeln.de/color/.
SOURCE_COLOUR = "#0072B2"
TARGET_COLOUR = "#D55E00"
NEUTRAL_COLOUR = "#555555"
CLUSTER_COLOURS = (
    *("#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#F0E442", "#000000", "#0072B2", "#D55E00"),
)
# Paul Tol's muted scheme and two of his others, https://personal.sron.nl/~pault/. More than about
# seven colours cannot be distinguished reliably, so figures also label points with class names.
CLASS_COLOURS = (
    *("#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677", "#882255"),
    *("#44AA99", "#999933", "#AA4499", "#777777", "#EE7733", "#004488"),
)
DOMAIN_COLOURS = (SOURCE_COLOUR, TARGET_COLOUR, *CLUSTER_COLOURS[:6])
DOMAIN_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")  # source, target, further domains

COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.2  # inches, of a journal's column and page
DPI = 200


def class_colours(count: int) -> list[str]:
    """Return a colour for each of `count` classes; after twelve they repeat."""
    return [CLASS_COLOURS[label % len(CLASS_COLOURS)] for label in range(count)]


def label_axes(axes: Axes, x: str, y: str, title: str) -> None:
    """Label axes, and remove lines that carry no information."""
    axes.set_xlabel(x, fontsize="small")
    axes.set_ylabel(y, fontsize="small")
    axes.tick_params(which="both", labelsize="small")
    axes.set_title(title, loc="left", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3, linewidth=0.5)


def add_legend(
    figure: Figure,
    handles: Sequence[Artist],
    labels: Sequence[str],
    place: Literal["outside upper left", "outside lower left"],
) -> None:
    """Add a legend outside of the axes, with as many columns as fit side by side."""
    size = FontProperties(size="small").get_size_in_points() / 72  # inches
    widest = size * (0.6 * max(map(len, labels)) + 5)  # with the line before and the gap behind
    columns = max(1, int(figure.get_figwidth() / widest))
    figure.legend(handles, labels, loc=place, ncols=columns, fontsize="small", frameon=False)


def wrap_title(title: str, columns: int) -> str:
    """Break a title so that it stays above its panel, if there are several side by side."""
    return fill(title, max(10, 60 // columns), break_long_words=False)


def save_figure(
    figure: Figure, stem: Path, arrays: Mapping[str, NDArray[Any]], caption: str = ""
) -> list[Path]:
    """Write a figure as PNG and SVG, and the arrays behind it as npz.

    While a report is made, the PNG and the SVG may be written later.

    Args:
        figure: the figure.
        stem: the files' path without suffix.
        arrays: the data behind the figure.
        caption: a sentence that describes the figure; stored in the PNG and the SVG. Words that no
            font on this machine shows follow it, by their numbers in the figure.

    Returns:
        the three files, in this order.

    Raises:
        StorageError: a file cannot be written; none is cut short.
    """
    files = [stem.with_name(stem.name + suffix) for suffix in (".png", ".svg", ".npz")]
    words = [f"{number}: {word}" for number, word in make_plain(figure).items()]
    legend = f" No font here shows {', '.join(words)}." if words else ""
    named = {plain(name): values for name, values in arrays.items()}
    content = io.BytesIO()
    np.savez(content, **named)  # type: ignore[arg-type]  # older numpy would save allow_pickle too
    _write(files[2:], [content.getvalue()])
    make = partial(draw, figure, stem.name, plain(caption) + legend, DPI)
    finish(make, partial(_write, files[:2]), files[0])
    return files


def _write(files: Sequence[Path], contents: Sequence[bytes]) -> None:
    for file, content in zip(files, contents, strict=True):
        write_atomically(file, partial(_save, content))


def _save(content: bytes, draft: Path) -> None:
    draft.write_bytes(content)
