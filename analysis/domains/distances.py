"""Distances between two domains before and after each normaliser of a network.

Wasserstein distances compare single channels, in units of the standard deviation within a domain.
The maximum mean discrepancy (MMD) compares pooled activations of images, all channels together. The
distance between two halves of the first domain is the noise floor.
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
from dacbn.analysis.observe.layer_names import short_names
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    NEUTRAL_COLOUR,
    PAGE_WIDTH,
    SOURCE_COLOUR,
    label_axes,
    save_figure,
)

MAX_VALUES = 20_000  # of a channel and domain
MAX_MMD_IMAGES = 1000  # of a domain
MIN_IMAGES = 4  # of a domain
ROUNDING = 1e-4  # of the standard deviation of activations; smaller differences are rounding
NO_CHANGE = 0.01  # standard deviations; a smaller change is none
AFTER_COLOUR = "#009E73"
MAX_CHARACTERS = 30  # of all names below an axis, if they are horizontal


class Distances(NamedTuple):
    """Distances between two domains at L layers, in columns: before and after the layer.

    Attributes:
        wasserstein: mean over channels, in standard deviations, (L, 2); NaN if all are constant.
        wasserstein_floor: the same between halves of the first domain, (L, 2).
        mmd: unbiased squared maximum mean discrepancy, (L, 2).
        mmd_floor: the same between halves of the first domain, (L, 2).
        by_channel: by layer, Wasserstein distances of its channels, (2, C); NaN for constant ones.
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
        rounding: distance that may be due to rounding; h is at least as large.
    """
    both = np.concatenate([first, second])
    squares = pairwise_distances(both, metric="sqeuclidean")
    median = np.median(squares[np.triu_indices(len(both), 1)])
    kernel = np.exp(-squares / (2 * max(median, rounding**2, 1e-300)))
    count = len(first)
    within = _mean_of_pairs(kernel[:count, :count]) + _mean_of_pairs(kernel[count:, count:])
    return float(within - 2 * kernel[:count, count:].mean())


def values_of(positions: Tensor) -> Floats:
    """Return about `MAX_VALUES` positions (M, C) of (N, P, C), equally many of each image."""
    images, per_image, channels = positions.shape
    kept = max(1, min(per_image, MAX_VALUES // max(images, 1)))
    values: Floats = positions[:, :kept].reshape(-1, channels).double().numpy()
    return values


def compute_distances(recording: Recording) -> Distances:
    """Measure the distances between the first two domains of a recording at each layer.

    Raises:
        ValueError: there is only one domain, or one has too few images.
    """
    if len(recording.images) < 2:
        raise ValueError(
            f"there is only one domain, {next(iter(recording.images))}: distances need two"
        )
    one, other = list(recording.images)[:2]
    for domain in (one, other):
        count = len(recording.images[domain])
        if count < MIN_IMAGES:
            raise ValueError(f"{domain} has {count} images: distances need at least {MIN_IMAGES}")
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
    """Draw distances (L, 2) before and after each layer over the depth of the network."""
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
    label_axes(axes, "normaliser, from input to output", unit, title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), None)
    axes.set_xlim(0.5, len(depth) + 0.5)


@analyses.add("distances by layer", order=90, needs=("subject", "folder", "recording"))
def draw_distances(subject: Subject, folder: Path, recording: Recording | None = None) -> Section:
    """Draw the distances between the domains at each normaliser, into a folder.

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
    caption = "Distance between the domains before and after each normaliser, over depth."
    file = save_figure(figure, folder / "domain_distances", arrays, caption)[0]
    table = distances_to_rows(layers, distances)
    return Section(
        "Distances between the domains",
        describe_distances(layers, distances),
        (file,),
        {"Distances between the domains by layer": table},
        terms=("Wasserstein distance", "MMD²", "halves of one domain"),
        folded=True,
    )


def describe_distances(layers: list[str], distances: Distances) -> tuple[str, ...]:
    """Describe where the domains are closest and farthest, and the effect of the normalisers.

    Layers whose output is constant are left out, such as those of a branch that starts at zero.
    """
    known = np.flatnonzero(~np.isnan(distances.wasserstein).any(1))
    if not len(known):
        return ("No normaliser has activations that vary both before and after it.",)
    names = [layers[index] for index in known]
    (before, after), mmd = distances.wasserstein[known].T, distances.mmd[known, 1]
    change = after - before
    closer = int((change < -NO_CHANGE).sum())
    sentences = [
        f"Normalisers bring the domains closer in {closer} of {len(names)} layers; averaged over "
        f"layers, the Wasserstein distance changes from {before.mean():.2f} to {after.mean():.2f} "
        f"standard deviations (halves of one domain differ by "
        f"{distances.wasserstein_floor[known].mean():.2f})."
    ]
    for index, word in ((int(change.argmin()), "decrease"), (int(change.argmax()), "increase")):
        if abs(change[index]) > NO_CHANGE and (change[index] < 0) == (word == "decrease"):
            sentences.append(
                f"The largest {word} is at {names[index]}, from {before[index]:.2f} to "
                f"{after[index]:.2f} standard deviations."
            )
    near, far = int(after.argmin()), int(after.argmax())
    if near != far:
        sentences.append(
            f"After a normaliser the domains are closest at {names[near]} ({after[near]:.2f}, MMD² "
            f"{mmd[near]:.3f}) and farthest apart at {names[far]} ({after[far]:.2f}, MMD² "
            f"{mmd[far]:.3f})."
        )
    return tuple(sentences)


def distances_to_rows(layers: list[str], distances: Distances) -> list[Row]:
    """Tabulate the distances, one row for each layer."""
    rows: list[Row] = []
    for index, name in enumerate(layers):
        row: Row = {"depth": index + 1, "layer": name}
        for heading, values in (
            ("Wasserstein", distances.wasserstein),
            ("halves", distances.wasserstein_floor),
            ("MMD²", distances.mmd),
        ):
            for side, word in enumerate(("before", "after")):
                value = float(values[index, side])
                row[f"{heading} {word}"] = "" if np.isnan(value) else round(value, 4)
        rows.append(row)
    return rows


def _measure(
    first: Tensor, first_pooled: Tensor, second: Tensor, second_pooled: Tensor
) -> tuple[Floats, list[float]]:
    """Compare positions (N, P, C) and pooled activations (N, C) of two domains, and of halves."""
    values = values_of(first)
    by_channel = standardised_wasserstein(values, values_of(second))
    rounding = ROUNDING * float(
        np.sqrt(values.var(0).sum())
    )  # of means, such as those after InstanceNorm
    half = len(first) // 2
    halves = standardised_wasserstein(values_of(first[:half]), values_of(first[half:]))
    pooled, other = (
        each[:MAX_MMD_IMAGES].double().numpy() for each in (first_pooled, second_pooled)
    )
    half = len(pooled) // 2
    return by_channel, [
        _mean_without_nan(by_channel),
        _mean_without_nan(halves),
        unbiased_mmd(pooled, other, rounding),
        unbiased_mmd(pooled[:half], pooled[half:], rounding),
    ]


def _mean_without_nan(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _mean_of_pairs(kernel: Floats) -> float:
    """Average a square kernel matrix without the diagonal."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _name_depths(axes: Axes, names: list[str]) -> None:
    if len(names) <= 8:
        axes.set_xticks(range(1, len(names) + 1), names)
        if sum(map(len, names)) > MAX_CHARACTERS:
            axes.tick_params(axis="x", labelrotation=30)
            for label in axes.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        axes.set_xlabel("normaliser")
