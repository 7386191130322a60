"""Where the statistics of a network went during a stream, and which component took which part."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dacbn.analysis.observe.layer_names import evenly_spaced, short_names
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    CLUSTER_COLOURS,
    NEUTRAL_COLOUR,
    PAGE_WIDTH,
    add_legend,
    label_axes,
    save_figure,
)
from dacbn.analysis.streams.part_names import part_name
from dacbn.analysis.streams.saved_path import arrays_of
from dacbn.streams import LayerPath, StreamPath

MAX_LAYERS = 3  # in the figure
MAX_PARTS = 8  # with a line of their own
STEM = "stream_path"  # of the files of the figure
DISTANCES = "Distance of the statistics at the end of the stream"
SHARES = "Share of each part that each component took"
CAPTION = (
    "Distance of the statistics of a layer to those of the source (grey) and of the activations in "
    f"each part of the stream (the first {MAX_PARTS}), in standard deviations (SD) of the source; "
    "shaded parts alternate. Right: the share of each part that each component took."
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
    shown = shown_layers(path)
    mixed = any(path.layers[name].shares is not None for name in shown)
    height = max(1.8, 0.5 + 0.14 * len(path.parts) * mixed)  # of a layer: a line for each part
    figure = Figure(figsize=(PAGE_WIDTH, 0.6 + height * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 1 + mixed, squeeze=False, sharex="col")
    for row, (name, title) in enumerate(zip(shown, short_names(shown), strict=True)):
        plot_distances(path, path.layers[name], title, grid[row, 0])
        if mixed:
            plot_shares(path, path.layers[name], grid[row, 1])
        for axes in grid[row]:
            axes.set_xlabel(axes.get_xlabel() if row == len(shown) - 1 else "")
    if mixed:
        shades = next(axes.images[0] for axes in grid[:, 1] if axes.images)
        bar = figure.colorbar(shades, ax=grid[:, 1], aspect=40)
        bar.set_label("share of the part", size="small")
        bar.ax.tick_params(labelsize="small")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    add_legend(figure, handles, labels, "outside upper left")
    file = save_figure(figure, folder / STEM, arrays_of(path), CAPTION)[0]
    return path_section(path, file)


def path_section(path: StreamPath, figure: Path) -> Section:
    """Return the section of a path whose figure is drawn."""
    shown = shown_layers(path)
    tables = {DISTANCES: distances(path, shown)}
    if rows := shares(path, shown):
        tables[SHARES] = rows
    return Section("Where the statistics went", describe(path), (figure,), tables)


def shown_layers(path: StreamPath) -> list[str]:
    """Name the layers that the figure shows: the first, the last, and one between them."""
    return evenly_spaced(list(path.layers), MAX_LAYERS)


def plot_distances(path: StreamPath, layer: LayerPath, title: str, axes: Axes) -> None:
    """Draw the distances of a layer's statistics during the stream."""
    axes.plot(path.images, layer.to_source, color=NEUTRAL_COLOUR, label="source")
    for place, part in enumerate(path.parts[:MAX_PARTS]):
        colour = CLUSTER_COLOURS[place % len(CLUSTER_COLOURS)]
        axes.plot(path.images, layer.to_parts[:, place], color=colour, label=part_name(part))
    edges = np.flatnonzero(np.diff(path.part)) + 1
    ends = [0, *path.images[edges - 1].tolist(), path.images[-1]]
    if len(ends) - 1 <= 2 * MAX_PARTS:
        for start, end in list(pairwise(ends))[1::2]:
            axes.axvspan(start, end, color=NEUTRAL_COLOUR, alpha=0.1, lw=0)
    label_axes(axes, "images", "distance in SD", title)
    axes.set_ylim(bottom=0)


def plot_shares(path: StreamPath, layer: LayerPath, axes: Axes) -> None:
    """Draw the share of each part that each component took."""
    if layer.shares is None:
        axes.set_axis_off()
        return
    axes.imshow(layer.shares, vmin=0, vmax=1, cmap="Greys", aspect="auto")
    axes.set_yticks(range(len(path.parts)), [*map(part_name, path.parts)], fontsize="small")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("component", fontsize="small")
    axes.tick_params(labelsize="small")


def describe(path: StreamPath) -> tuple[str, ...]:
    """Say for the first and last layer how far its statistics went, and to which part they came."""
    sentences = []
    for name in dict.fromkeys((next(iter(path.layers)), list(path.layers)[-1])):
        layer, last = path.layers[name], int(path.part[-1])
        nearest = part_name(path.parts[int(layer.to_parts[-1].argmin())])
        text = (
            f"{name}: at the end its statistics are {layer.to_source[-1]:.2f} standard deviations "
        )
        text += "from the source"
        if last >= 0:  # not of images of several parts at once
            text += f" and {layer.to_parts[-1, last]:.2f} from the last part, "
            text += part_name(path.parts[last])
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
            part_name(part): round(float(value), 3)
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
            row: Row = {"layer": name, "part": part_name(part)}
            rows.append(row | {str(k): round(float(s), 3) for k, s in enumerate(of_part)})
    return rows
