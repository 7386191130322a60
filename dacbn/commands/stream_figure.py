"""The figure of errors over the time of a stream."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dacbn.benchmarks.stream_cell import Row
from dacbn.commands.stream_tables import REFERENCES, by_stream, candidate, column

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = ("-", "--", "-.", ":")  # besides colours, for colour-blind readers
MAX_LINES = 8  # more cannot be told apart


def draw_errors(rows: Sequence[Row], stem: Path) -> Path:
    """Draw errors over time, one pair of axes for each protocol and batch size.

    Args:
        rows: of `dacbn.benchmarks.stream_cells.run_cell`; seeds are averaged.
        stem: of the files to write: a PNG, an SVG and the numbers.

    Returns:
        the PNG.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from dacbn.analysis.presentation.style import (
        CLASS_COLOURS,
        PAGE_WIDTH,
        add_legend,
        label_axes,
        save_figure,
    )

    streams = list(dict.fromkeys(map(column, rows)))
    names = list(dict.fromkeys(map(candidate, rows)))
    lines: dict[str, dict[str, Any]] = {
        name: {"color": CLASS_COLOURS[place], "ls": DASHES[place % len(DASHES)], "lw": 1.2}
        for place, name in enumerate(chosen_lines(rows))
    }
    size = (PAGE_WIDTH, 0.3 + 0.17 * len(lines) + 2.2 * len(streams))
    figure = Figure(figsize=size, layout="constrained")
    arrays = {}
    for axes, stream in zip(
        np.ravel(figure.subplots(len(streams), 1, squeeze=False)), streams, strict=True
    ):
        for name in names:
            chosen = [r for r in rows if candidate(r) == name and column(r) == stream]
            if not chosen:
                continue
            errors = 100 * np.mean([row["curve"] for row in chosen], axis=0)
            arrays[f"{stream}, {name}"] = errors
            if name in lines:
                axes.plot(100 * _middles(chosen[0]), errors, **lines[name])
        row = next(row for row in rows if column(row) == stream)
        if not stream.startswith("mixed"):
            _mark_parts(row, axes)
        label_axes(axes, "images answered in %", "error in %", "")
        axes.set_title(stream, loc="left", fontsize="medium", pad=16)
        axes.set_xlim(0, 100)
    handles = [Line2D([], [], **each) for each in lines.values()]
    add_legend(figure, handles, [*lines], "outside lower left")
    marked = any(len(row["parts"]) > 1 and not column(row).startswith("mixed") for row in rows)
    caption = "Errors over time, by protocol and batch size"
    caption += "; grey lines are between parts." if marked else "."
    if len(lines) < len(names):
        references = ", ".join(name for name in REFERENCES if name in names)
        caption += f" Of {len(names)} norms and methods are drawn"
        caption += f": {references} and" if references else ""
        caption += " those with the least errors in each; the arrays hold all."
    return save_figure(figure, stem, arrays, caption)[0]


def chosen_lines(rows: Sequence[Row]) -> list[str]:
    """Choose norms and methods to draw: all, or references and the best of each stream in turn."""
    names = list(dict.fromkeys(map(candidate, rows)))
    best = dict.fromkeys(names, len(names))  # rank in the stream where it is best
    for found in by_stream(rows).values():
        others = {name: found[name] for name in found if name not in REFERENCES}
        ranked = sorted(others, key=lambda name: fmean(row["error"] for row in others[name]))
        best |= {name: min(place, best[name]) for place, name in enumerate(ranked)}
    order = sorted(names, key=lambda name: (name not in REFERENCES, best[name]))
    return [name for name in names if name in order[:MAX_LINES]]


def _middles(row: Row) -> NDArray[np.float64]:
    """Return the middle of each stretch of a curve, as a share of the stream.

    Stretches differ by up to an image; those of older rows, which do not say, count as equal.
    """
    points = len(row["curve"])
    count = row.get("images", points)
    sizes = np.array([len(each) for each in np.array_split(np.arange(count), points)])
    middles: NDArray[np.float64] = (np.cumsum(sizes) - sizes / 2) / count
    return middles


def _mark_parts(row: Row, axes: "Axes") -> None:
    """Draw where parts end, and write their names above if they fit."""
    names = list(row["parts"])
    counts = row.get("part_images") or dict.fromkeys(names, 1)  # older rows do not say
    ends = [100 * each / sum(counts.values()) for each in accumulate(counts[n] for n in names)]
    for end in ends[:-1]:
        axes.axvline(end, color="0.8", linewidth=0.5, zorder=0)
    wide = [end - start for start, end in pairwise([0, *ends])]
    if all(len(name) < width for name, width in zip(names, wide, strict=True)):  # % of the axes
        for name, width, end in zip(names, wide, ends, strict=True):
            axes.annotate(
                name,
                (end - width / 2, 1),
                (0, 2),  # points above
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                size="x-small",
            )
