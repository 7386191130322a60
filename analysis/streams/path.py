"""Where the statistics of a network went during a stream, and which component took which part."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dacbn.analysis.observe.layer_names import evenly_spaced, short_names
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    CLUSTER_COLOURS,
    NEUTRAL_COLOUR,
    PAGE_WIDTH,
    label_axes,
    save_figure,
)
from dacbn.streams import LayerPath, StreamPath

MAX_LAYERS = 3  # in the figure
MAX_PARTS = 8  # with a line of their own
CAPTION = (
    "Distance of the statistics of a layer to those of the source (grey) and of the activations in "
    "each part of the stream, in standard deviations of the source; shaded parts alternate. Right: "
    "the share of each part that each component took."
)


def draw_stream_path(path: StreamPath, folder: Path) -> Section:
    """Draw where the statistics of each layer went, into a folder.

    Raises:
        ValueError: no layer keeps statistics, or no batch was recorded.
    """
    if not path.layers or not len(path.images):
        raise ValueError(
            "no layer of the network keeps statistics: there is nothing that could follow a stream"
        )
    shown = evenly_spaced(list(path.layers), MAX_LAYERS)
    mixed = any(path.layers[name].shares is not None for name in shown)
    figure = Figure(figsize=(PAGE_WIDTH, 0.6 + 1.8 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 1 + mixed, squeeze=False, sharex="col")
    for row, (name, title) in enumerate(zip(shown, short_names(shown), strict=True)):
        plot_distances(path, path.layers[name], title, grid[row, 0])
        if mixed:
            plot_shares(path, path.layers[name], grid[row, 1])
        for axes in grid[row]:
            axes.set_xlabel(axes.get_xlabel() if row == len(shown) - 1 else "")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=5, frameon=False)
    arrays = {"images": path.images, "part": path.part, "parts": np.array(path.parts)} | {
        f"{name}/{field}": value
        for name, layer in path.layers.items()
        for field, value in layer._asdict().items()
        if value is not None
    }
    file = save_figure(figure, folder / "stream_path", arrays, CAPTION)[0]
    tables = {"Distance of the statistics at the end of the stream": distances(path, shown)}
    if mixed:
        tables["Share of each part that each component took"] = shares(path, shown)
    return Section("Where the statistics went", describe(path), (file,), tables)


def plot_distances(path: StreamPath, layer: LayerPath, title: str, axes: Axes) -> None:
    """Draw the distances of a layer's statistics during the stream."""
    axes.plot(path.images, layer.to_source, color=NEUTRAL_COLOUR, label="source")
    for place, part in enumerate(path.parts[:MAX_PARTS]):
        colour = CLUSTER_COLOURS[place % len(CLUSTER_COLOURS)]
        axes.plot(path.images, layer.to_parts[:, place], color=colour, label=part)
    edges = np.flatnonzero(np.diff(path.part)) + 1
    ends = [0, *path.images[edges - 1].tolist(), path.images[-1]]
    if len(ends) <= 2 * MAX_PARTS:
        for start, end in list(pairwise(ends))[1::2]:
            axes.axvspan(start, end, color=NEUTRAL_COLOUR, alpha=0.1, lw=0)
    label_axes(axes, "images", "distance", title)
    axes.set_ylim(bottom=0)


def plot_shares(path: StreamPath, layer: LayerPath, axes: Axes) -> None:
    """Draw the share of each part that each component took."""
    if layer.shares is None:
        axes.set_axis_off()
        return
    axes.imshow(layer.shares, vmin=0, vmax=1, cmap="Greys", aspect="auto")
    axes.set_yticks(range(len(path.parts)), path.parts, fontsize="small")
    axes.set_xlabel("component", fontsize="small")
    axes.tick_params(labelsize="small")


def describe(path: StreamPath) -> tuple[str, ...]:
    """Say for the first and last layer how far its statistics went, and to which part they came."""
    sentences = []
    for name in dict.fromkeys((next(iter(path.layers)), list(path.layers)[-1])):
        layer, last = path.layers[name], int(path.part[-1])
        nearest = path.parts[int(layer.to_parts[-1].argmin())]
        text = (
            f"{name}: at the end its statistics are {layer.to_source[-1]:.2f} standard deviations "
        )
        text += "from the source"
        if last >= 0:  # not of images of several parts at once
            text += f" and {layer.to_parts[-1, last]:.2f} from the last part, {path.parts[last]}"
        text += f"; {nearest} is nearest."
        if layer.shares is not None:
            used = int((layer.shares.max(0) > 1 / layer.shares.shape[1]).sum())
            text += f" {used} of {layer.shares.shape[1]} components took more than an even share."
        sentences.append(text)
    return tuple(sentences)


def distances(path: StreamPath, layers: Sequence[str]) -> list[Row]:
    """List the distances of layers at the end."""
    rows: list[Row] = []
    for name in layers:
        row: Row = {"layer": name, "source": round(float(path.layers[name].to_source[-1]), 3)}
        row |= {
            part: round(float(value), 3)
            for part, value in zip(path.parts, path.layers[name].to_parts[-1], strict=True)
        }
        rows.append(row)
    return rows


def shares(path: StreamPath, layers: Sequence[str]) -> list[Row]:
    """List the share of each part that each component of layers took, from 0 to 1."""
    rows: list[Row] = []
    for name in layers:
        taken = path.layers[name].shares
        for part, of_part in zip(path.parts, () if taken is None else taken, strict=False):
            row: Row = {"layer": name, "part": part}
            rows.append(row | {str(k): round(float(s), 3) for k, s in enumerate(of_part)})
    return rows
