"""How far apart two domains are before and after every normaliser of a network.

Wasserstein distances compare single channels, in units of the standard deviation within a domain;
the maximum mean discrepancy compares images' pooled activations, all channels together. What two
halves of the first domain differ by is what finite samples differ by.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import pairwise_distances
from torch import Tensor

from dacbn.analysis.analyses import analyses
from dacbn.analysis.clusters.agreement import Floats
from dacbn.analysis.clusters.figures import short_names
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    NEUTRAL_COLOUR,
    PAGE_WIDTH,
    SOURCE_COLOUR,
    clean,
    save_figure,
)

VALUES = 20_000  # of a channel and domain, at most
IMAGES = 1000  # of a domain in a discrepancy, at most
FEWEST = 4  # images of a domain
ROUNDING = 1e-4  # of the spread of single activations: less is no difference between means
SAME = 0.01  # standard deviations that count as no change
AFTER_COLOUR = "#009E73"
CHARACTERS = 30  # of names that fit beside each other below an axis


class Distances(NamedTuple):
    """Distances between two domains at L layers: the first column before a layer, then after it.

    Args:
        wasserstein: mean over channels, in standard deviations, (L, 2); NaN where all are constant.
        wasserstein_floor: the same between halves of the first domain, (L, 2).
        mmd: unbiased squared maximum mean discrepancy, (L, 2).
        mmd_floor: the same between halves of the first domain, (L, 2).
        by_channel: by layer, Wasserstein distances of its channels, (2, C); NaN where constant.
    """

    wasserstein: Floats
    wasserstein_floor: Floats
    mmd: Floats
    mmd_floor: Floats
    by_channel: dict[str, Floats]


def wasserstein(first: Floats, second: Floats) -> Floats:
    """Compute the 1-D Wasserstein distance of samples (N, C) and (M, C): (C,)."""
    values = np.concatenate([first, second])
    order = values.argsort(0)
    step = np.where(order < len(first), 1 / len(first), -1 / len(second))
    gaps = np.diff(np.take_along_axis(values, order, 0), axis=0)
    distance: Floats = (np.abs(step.cumsum(0)[:-1]) * gaps).sum(0)
    return distance


def standardised_wasserstein(first: Floats, second: Floats) -> Floats:
    """Divide `wasserstein` by the standard deviation within the samples; NaN where that is 0."""
    within = np.sqrt((first.var(0) + second.var(0)) / 2)
    constant = within <= 1e-12
    return np.where(constant, np.nan, wasserstein(first, second) / np.where(constant, 1, within))


def unbiased_mmd(first: Floats, second: Floats, rounding: float = 0.0) -> float:
    """Compute the unbiased squared maximum mean discrepancy of samples (N, D) and (M, D).

    The kernel is exp(-d² / (2 h²)); h is the median distance of two different samples of both.

    Args:
        first: (N, D).
        second: (M, D).
        rounding: distance that may be due to rounding, the smallest h.
    """
    both = np.concatenate([first, second])
    squares = pairwise_distances(both, metric="sqeuclidean")
    median = np.median(squares[np.triu_indices(len(both), 1)])
    kernel = np.exp(-squares / (2 * max(median, rounding**2, 1e-300)))
    count = len(first)
    within = _mean_of_pairs(kernel[:count, :count]) + _mean_of_pairs(kernel[count:, count:])
    return float(within - 2 * kernel[:count, count:].mean())


def values_of(positions: Tensor) -> Floats:
    """Take positions (N, P, C) one by one: about `VALUES` (M, C), as many of every image."""
    images, per_image, channels = positions.shape
    kept = max(1, min(per_image, VALUES // max(images, 1)))
    values: Floats = positions[:, :kept].reshape(-1, channels).double().numpy()
    return values


def compute_distances(recording: Recording) -> Distances:
    """Measure how far apart the first two domains of a recording are at each layer.

    Raises:
        ValueError: there is one domain only, or one has too few images.
    """
    if len(recording.images) < 2:
        raise ValueError(
            f"there is one domain only, {next(iter(recording.images))}: distances take two"
        )
    one, other = list(recording.images)[:2]
    for domain in (one, other):
        if len(recording.images[domain]) < FEWEST:
            raise ValueError(
                f"{domain} has {len(recording.images[domain])} images: distances take {FEWEST}"
            )
    rows, by_channel = [], {}
    for name, domains in recording.layers.items():
        first, second = domains[one], domains[other]
        sides = [
            _measure(first.inputs, first.pooled_inputs, second.inputs, second.pooled_inputs),
            _measure(first.outputs, first.pooled_outputs, second.outputs, second.pooled_outputs),
        ]
        by_channel[name] = np.stack([side[0] for side in sides])
        rows.append([side[1] for side in sides])
    table = np.array(rows)  # (L, 2, 4)
    columns = [table[:, :, measure] for measure in range(4)]
    return Distances(columns[0], columns[1], columns[2], columns[3], by_channel)


def plot_distances(measured: Floats, floor: Floats, unit: str, title: str, axes: Axes) -> None:
    """Draw distances (L, 2) before and after each layer, over the depth of the network."""
    depth = np.arange(1, len(measured) + 1)
    for side, label, marker, colour in (
        (0, "before the normaliser", "o", SOURCE_COLOUR),
        (1, "after it", "s", AFTER_COLOUR),
    ):
        axes.plot(
            depth, measured[:, side], marker, color=colour, linestyle="-", markersize=4, label=label
        )
    axes.plot(
        depth, floor.mean(1), ":", color=NEUTRAL_COLOUR, linewidth=1, label="halves of one domain"
    )
    clean(axes, "normaliser, from the input on", unit, title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), None)
    axes.set_xlim(0.5, len(depth) + 0.5)


@analyses.add("distances by layer", place=90, needs=("subject", "folder", "recording"))
def draw_distances(subject: Subject, folder: Path, recording: Recording | None = None) -> Section:
    """Draw where in a network the domains meet or part, into a folder.

    Raises:
        ValueError: see `compute_distances`.
    """
    recording = recording or record(subject)
    distances = compute_distances(recording)
    layers = list(recording.layers)
    figure = Figure(figsize=(PAGE_WIDTH, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_distances(
        distances.wasserstein,
        distances.wasserstein_floor,
        "distance (standard deviations)",
        "Wasserstein, mean of channels",
        left,
    )
    plot_distances(
        distances.mmd,
        distances.mmd_floor,
        "squared MMD",
        "MMD of pooled activations",
        right,
    )
    for axes in (left, right):
        _name_depths(axes, short_names(layers))
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    arrays = {name: value for name, value in distances._asdict().items() if name != "by_channel"}
    arrays |= {f"{name}/by_channel": value for name, value in distances.by_channel.items()}
    caption = "How far apart the domains are before and after each normaliser, over depth."
    file = save_figure(figure, folder / "domain_distances", arrays, caption)[0]
    table = rows_of_distances(layers, distances)
    return Section(
        "Distances between the domains",
        say_distances(layers, distances),
        (file,),
        {"Distances between the domains by layer": table},
    )


def say_distances(layers: list[str], distances: Distances) -> tuple[str, ...]:
    """Say where the domains are closest and farthest, and what the normalisers do to it.

    Layers whose output is constant, as that of a branch that starts at zero, are left out.
    """
    known = np.flatnonzero(~np.isnan(distances.wasserstein).any(1))
    if not len(known):
        return ("No normaliser has activations that vary before and after it.",)
    names = [layers[place] for place in known]
    (before, after), mmd = distances.wasserstein[known].T, distances.mmd[known, 1]
    change = after - before
    sentences = [
        f"Normalisers bring the domains closer in {int((change < -SAME).sum())} of {len(names)} "
        f"layers; over all of them the Wasserstein distance goes from {before.mean():.2f} to "
        f"{after.mean():.2f} standard deviations (halves of one domain differ by "
        f"{distances.wasserstein_floor[known].mean():.2f})."
    ]
    for place, word in ((int(change.argmin()), "closer"), (int(change.argmax()), "farther apart")):
        if abs(change[place]) > SAME and (change[place] < 0) == (word == "closer"):
            sentences.append(
                f"{names[place]} brings them {word} most: {before[place]:.2f} to "
                f"{after[place]:.2f} standard deviations."
            )
    near, far = int(after.argmin()), int(after.argmax())
    if near != far:
        sentences.append(
            f"After a normaliser the domains are nearest at {names[near]} ({after[near]:.2f}, MMD² "
            f"{mmd[near]:.3f}) and farthest apart at {names[far]} ({after[far]:.2f}, MMD² "
            f"{mmd[far]:.3f})."
        )
    return tuple(sentences)


def rows_of_distances(layers: list[str], distances: Distances) -> list[Row]:
    """Tabulate the distances, a row for each layer."""
    rows: list[Row] = []
    for place, name in enumerate(layers):
        row: Row = {"layer": name}
        for heading, values in (
            ("Wasserstein", distances.wasserstein),
            ("halves", distances.wasserstein_floor),
            ("MMD²", distances.mmd),
        ):
            for side, word in enumerate(("before", "after")):
                value = float(values[place, side])
                row[f"{heading} {word}"] = "" if np.isnan(value) else round(value, 4)
        rows.append(row)
    return rows


def _measure(
    first: Tensor, first_pooled: Tensor, second: Tensor, second_pooled: Tensor
) -> tuple[Floats, list[float]]:
    """Compare positions (N, P, C) and pooled activations (N, C) of two domains, and of halves."""
    values = values_of(first)
    by_channel = standardised_wasserstein(values, values_of(second))
    rounding = ROUNDING * float(np.sqrt(values.var(0).sum()))  # of means, such as InstanceNorm's
    half = len(first) // 2
    halves = standardised_wasserstein(values_of(first[:half]), values_of(first[half:]))
    pooled, other = (each[:IMAGES].double().numpy() for each in (first_pooled, second_pooled))
    half = len(pooled) // 2
    return by_channel, [
        _mean_of_known(by_channel),
        _mean_of_known(halves),
        unbiased_mmd(pooled, other, rounding),
        unbiased_mmd(pooled[:half], pooled[half:], rounding),
    ]


def _mean_of_known(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _mean_of_pairs(kernel: Floats) -> float:
    """Average a square kernel matrix without its diagonal."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _name_depths(axes: Axes, names: list[str]) -> None:
    if len(names) <= 8:
        axes.set_xticks(range(1, len(names) + 1), names)
        if sum(map(len, names)) > CHARACTERS:
            axes.tick_params(axis="x", labelrotation=30)
            for label in axes.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        axes.set_xlabel("normaliser")
