"""The figure of errors over the time of a stream."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dacbn.benchmarks.stream_cell import Row
from dacbn.commands.stream_tables import candidate, column

DASHES = ("-", "--", "-.", ":")  # besides colours, for colour-blind readers


def draw_errors(rows: Sequence[Row], stem: Path) -> None:
    """Draw errors over time, one pair of axes for each protocol and batch size.

    Args:
        rows: of `dacbn.benchmarks.stream_cells.run_cell`; seeds are averaged.
        stem: of the files to write: a PNG, an SVG and the numbers.
    """
    from matplotlib.figure import Figure

    from dacbn.analysis.presentation.style import (
        CLASS_COLOURS,
        PAGE_WIDTH,
        label_axes,
        save_figure,
    )

    streams = list(dict.fromkeys(map(column, rows)))
    names = list(dict.fromkeys(map(candidate, rows)))
    figure = Figure(figsize=(PAGE_WIDTH, 1 + 2.2 * len(streams)), layout="constrained")
    arrays = {}
    for axes, stream in zip(
        np.ravel(figure.subplots(len(streams), 1, squeeze=False)), streams, strict=True
    ):
        for place, name in enumerate(names):
            chosen = [r for r in rows if candidate(r) == name and column(r) == stream]
            if not chosen:
                continue
            errors = 100 * np.mean([row["curve"] for row in chosen], axis=0)
            time = (np.arange(len(errors)) + 0.5) / len(errors)
            colour = CLASS_COLOURS[place % len(CLASS_COLOURS)]
            dashes = DASHES[place % len(DASHES)]
            axes.plot(time, errors, dashes, color=colour, linewidth=1.2, label=name)
            arrays[f"{stream}, {name}"] = errors
        parts = next(row["parts"] for row in rows if column(row) == stream)
        if not stream.startswith("mixed"):
            for border in range(1, len(parts)):
                axes.axvline(border / len(parts), color="0.8", linewidth=0.5, zorder=0)
        label_axes(axes, "part of the stream", "error in %", stream)
    axes.legend(fontsize="x-small", ncols=3, frameon=False)
    save_figure(figure, stem, arrays, "Errors over time, by protocol and batch size.")
