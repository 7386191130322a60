"""Names of classes along an axis: short, turned, or some of them, so that none covers another."""

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes

from dacbn.plain_text import plain

LETTERS, END = 18, 7  # of a name, and of its end; a longer one is cut
SIZE = 7.0  # typographic points of a letter's height
WIDTH = 0.6  # of a letter, as a share of its height
POINTS = 72.0  # of an inch


def name_classes(classes: Sequence[str], axes: Axes, along: Literal["x", "y"] = "x") -> None:
    """Write the names of classes, which stand at 0, 1, 2 and so on, along an axis.

    Call it last: what sets the size of labels later makes them cover each other again.

    Args:
        classes: the names.
        axes: to write on; its place in the figure says how long it is.
        along: which axis.
    """
    names = [shorten(name) for name in classes]
    box = axes.get_window_extent()
    inches = (box.width if along == "x" else box.height) / axes.figure.dpi
    room = inches * POINTS / max(len(names), 1)
    longest = WIDTH * SIZE * max(map(len, names), default=0)
    turned = along == "x" and longest + WIDTH * SIZE > room
    step = 1 if along == "x" and not turned else max(1, -(-int(1.25 * SIZE) // max(int(room), 1)))
    places = range(0, len(names), step)
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_ticks(list(places), names[::step])
    axes.tick_params(axis=along, labelsize=SIZE, labelrotation=90 if turned else 0)


def shorten(name: str) -> str:
    """Cut a long name in its middle, because names may differ at their end.

    Example:
        >>> shorten("a toothbrush with a charger")
        'a toothbru…charger'
    """
    shown = " ".join(plain(name).split())
    return shown if len(shown) <= LETTERS else f"{shown[: LETTERS - END - 1]}…{shown[-END:]}"
