"""Movement of the components of mixtures during training, from the snapshots of a run."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dacbn.analysis.analyses import analyses
from dacbn.analysis.clusters.compute import compute_overlap
from dacbn.analysis.observe.assignments import mixture_of
from dacbn.analysis.observe.layer_names import evenly_spaced
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recorder import find_normalisers
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.style import CLUSTER_COLOURS, PAGE_WIDTH, label_axes, save_figure
from dacbn.spelling import spell
from dacbn.training import build_network, find_snapshots, load_weights, read_run_info

MAX_LAYERS = 3  # in the figure
MAX_MOVE_AT_REST = 0.05  # standard deviations between snapshots; slower components have settled


class Movement(NamedTuple):
    """The mixture of one layer at T snapshots.

    Attributes:
        steps: of the snapshots, (T,).
        prior: shares, (T, K, C) or (T, K, 1).
        mean: (T, K, C).
        var: (T, K, C).
        overlap: of each two components, averaged over channels, (T, K, K).
    """

    steps: Floats
    prior: Floats
    mean: Floats
    var: Floats
    overlap: Floats

    @property
    def moved(self) -> Floats:
        """Distance of means from the previous snapshot, in standard deviations: (T - 1, K).

        It is the root mean square over channels.
        """
        distance = np.square(np.diff(self.mean, axis=0)) / self.var[:-1]
        moved: Floats = np.sqrt(distance.mean(2))
        return moved


def compute_movement(run: Path) -> dict[str, Movement]:
    """Read the mixtures of every snapshot of a run.

    Raises:
        ValueError: the run has fewer than two snapshots, or its network has no mixture.
        RunFolderError: the folder holds no run, or a snapshot is damaged.
    """
    card, snapshots = read_run_info(run), find_snapshots(run)
    if len(snapshots) < 2:
        raise ValueError(
            f"{run} has {len(snapshots)} snapshots, but movement needs two: train with "
            f"{spell('snapshot_every')}, for example {spell('snapshot_every', 20)}"
        )
    network = build_network(card.config, len(card.classes))
    found = find_normalisers(network)
    layers = {name: layer for name, layer in found.items() if mixture_of(layer) is not None}
    if not layers:
        raise ValueError(f"{run} has no layer with a mixture, so there are no components that move")
    rows: dict[str, list[tuple[Floats, ...]]] = {name: [] for name in layers}
    for snapshot in snapshots.values():
        load_weights(run, network, snapshot)
        for name, layer in layers.items():
            mixture = mixture_of(layer)
            assert mixture is not None
            values = mixture.prior, mixture.mean, mixture.var
            rows[name].append((*(v.numpy() for v in values), compute_overlap(mixture)))
    steps = np.array(list(snapshots), dtype=float)
    return {
        name: Movement(steps, *(np.stack(values) for values in zip(*row, strict=True)))
        for name, row in rows.items()
    }


def plot_movement(movement: Movement, channel: int, title: str, axes: Axes) -> None:
    """Draw the means of a channel during training, with bands of one standard deviation."""
    for cluster in range(movement.mean.shape[1]):
        mean, std = movement.mean[:, cluster, channel], np.sqrt(movement.var[:, cluster, channel])
        colour = CLUSTER_COLOURS[cluster % len(CLUSTER_COLOURS)]
        axes.plot(movement.steps, mean, color=colour, label=f"cluster {cluster + 1}")
        axes.fill_between(movement.steps, mean - std, mean + std, color=colour, alpha=0.15, lw=0)
    label_axes(axes, "step", "activation", title)


def plot_shares_over_time(movement: Movement, title: str, axes: Axes) -> None:
    """Draw the share of each component during training, averaged over channels."""
    for cluster, share in enumerate(movement.prior.mean(2).T):
        colour = CLUSTER_COLOURS[cluster % len(CLUSTER_COLOURS)]
        axes.plot(movement.steps, share, color=colour, label=f"cluster {cluster + 1}")
    label_axes(axes, "step", "share", title)
    axes.set_ylim(0, 1)


@analyses.add("movement of the clusters", order=60, needs=("run", "folder"))
def draw_movement(run: Path, folder: Path) -> Section:
    """Draw the movement of the components of a run's mixtures, into a folder.

    Raises:
        ValueError: see `compute_movement`.
    """
    movements = compute_movement(run)
    shown = evenly_spaced(list(movements), MAX_LAYERS)
    figure = Figure(figsize=(PAGE_WIDTH, 0.4 + 1.8 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 3, sharex=True, squeeze=False)
    for row, name in enumerate(shown):
        plot_shares_over_time(movements[name], f"{name}: shares", grid[row, 0])
        for axes, channel in zip(grid[row, 1:], most_moved(movements[name], 2), strict=False):
            plot_movement(movements[name], channel, f"channel {channel}", axes)
        for axes in grid[row]:
            axes.set_xlabel("step" if row == len(shown) - 1 else "")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=6, frameon=False)
    arrays = {
        f"{name}/{field}": value
        for name, movement in movements.items()
        for field, value in movement._asdict().items()
    }
    caption = (
        "Shares of the components during training, and the means of the two channels that moved "
        "farthest, with bands of one standard deviation."
    )
    file = save_figure(figure, folder / "cluster_movement", arrays, caption)[0]
    sentences = describe_movement(movements)
    title, terms = "Movement of the clusters", ("movement", "overlap")
    return Section(title, sentences, (file,), terms=terms, folded=True)


def most_moved(movement: Movement, count: int) -> list[int]:
    """Choose the channels whose means moved farthest in total, in standard deviations."""
    path = np.abs(np.diff(movement.mean, axis=0)).sum(0) / np.sqrt(movement.var.mean(0))
    order: list[int] = np.argsort(-path.max(0), kind="stable").tolist()
    return order[:count]


def describe_movement(movements: dict[str, Movement]) -> tuple[str, ...]:
    """Describe for each layer whether components separate or approach, and whether they settled."""
    sentences = []
    for name, movement in movements.items():
        first, last = (_mean_of_pairs(movement.overlap[index]) for index in (0, -1))
        steps, speed = movement.steps.astype(int), movement.moved[-1].max()
        trend = "kept their distance"
        if abs(last - first) > 0.02:
            trend = "moved apart" if last < first else "came closer"
        rest = "have settled" if speed < MAX_MOVE_AT_REST else "still move"
        sentences.append(
            f"{name}: from step {steps[0]} to {steps[-1]} components {trend} (overlap "
            f"{first:.2f} to {last:.2f}); at the end they {rest} ({speed:.3f} standard deviations "
            f"in {steps[-1] - steps[-2]} steps)."
        )
    return tuple(sentences)


def _mean_of_pairs(overlap: Floats) -> float:
    """Average the overlaps (K, K) of different components; 1 for a single one."""
    pairs = overlap[np.triu_indices(len(overlap), 1)]
    return float(pairs.mean()) if len(pairs) else 1.0
