"""Distributions of activations before and after a normaliser, with its learned mixture.

All curves of a panel have one scale: the area of all recorded activations of a channel is one, with
an equal share for each domain, and so is the area of the mixture, the sum of its components.
"""

import math
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dacbn.analysis.analyses import analyses
from dacbn.analysis.domains.distances import standardised_wasserstein, values_of
from dacbn.analysis.observe.layer_names import evenly_spaced, short_names
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.style import (
    CLUSTER_COLOURS,
    DOMAIN_COLOURS,
    PAGE_WIDTH,
    label_axes,
    save_figure,
)
from dacbn.norms import Mixture

BINS = 60
POINTS = 400  # of a density
CLIPPED = 0.1  # per cent of the activations outside a panel, on either side
LEGEND_COLUMNS = 5
MAX_LAYERS, MAX_CHANNELS = 4, 4  # rows and columns of a figure


class Distribution(NamedTuple):
    """The distribution of one channel, before or after one layer.

    Attributes:
        edges: of the bins, (B + 1,).
        domains: densities of each domain; the area of each is 1 / D, (D, B).
        points: values at which the mixture is evaluated, (X,); empty after a layer, or without a
            mixture.
        components: density of each component times its share, (K, X).
        distance: Wasserstein distance of the first two domains, in standard deviations; NaN if
            there is only one.
    """

    edges: Floats
    domains: Floats
    points: Floats
    components: Floats
    distance: float


def compute_distribution(
    samples: list[Floats], mixture: tuple[Floats, Floats, Floats] | None = None
) -> Distribution:
    """Compute the distribution of the activations of a channel.

    Args:
        samples: the activations of each domain, (N,) each.
        mixture: priors, means and variances of the channel's components, (K,) each.
    """
    limits = [np.percentile(values, [CLIPPED, 100 - CLIPPED]) for values in samples]
    low, high = min(limit[0] for limit in limits), max(limit[1] for limit in limits)
    margin = max(0.02 * (high - low), 1e-6 * max(1.0, abs(high)))
    edges = np.linspace(low - margin, high + margin, BINS + 1)
    width = edges[1] - edges[0]
    heights = [
        np.histogram(values, edges)[0] / (len(values) * width * len(samples)) for values in samples
    ]
    points, components = np.zeros(0), np.zeros((0, 0))
    if mixture is not None:
        points = np.linspace(edges[0], edges[-1], POINTS)
        components = component_densities(points, *mixture)
    distance = float("nan")
    if len(samples) > 1:
        first, second = (values[:, None] for values in samples[:2])
        distance = float(standardised_wasserstein(first, second)[0])
    return Distribution(edges, np.array(heights), points, components, distance)


def component_densities(points: Floats, prior: Floats, mean: Floats, var: Floats) -> Floats:
    """Compute share times Gaussian density of components (K,) at points (X,): (K, X)."""
    exponent = -np.square(points - mean[:, None]) / (2 * var[:, None])
    scaled: Floats = prior[:, None] * np.exp(exponent) / np.sqrt(2 * math.pi * var[:, None])
    return scaled


def compute_distributions(
    recording: Recording, layers: list[str] | None = None, channels: int = MAX_CHANNELS
) -> dict[str, dict[int, tuple[Distribution, Distribution]]]:
    """Compute the distributions of some channels of some layers, before and after the layer.

    Args:
        recording: of one or more domains.
        layers: names; by default four layers, evenly spaced over the depth.
        channels: number of channels of each layer: those in which the first two domains differ
            most before it, or the first ones if there is a single domain.

    Returns:
        by layer and channel, the distributions before and after the layer.

    Raises:
        ValueError: a layer was not recorded; the text lists the recorded ones.
    """
    chosen = layers or evenly_spaced(list(recording.layers), MAX_LAYERS)
    for name in chosen:
        if name not in recording.layers:
            raise ValueError(f"{name} was not recorded; there are: {', '.join(recording.layers)}")
    return {name: _compute_channels(recording, name, channels) for name in chosen}


def plot_distribution(distribution: Distribution, axes: Axes) -> None:
    """Draw a channel: all activations, those of each domain, the mixture and its components."""
    edges, domains = distribution.edges, distribution.domains
    axes.stairs(domains.sum(0), edges, fill=True, color="#DDDDDD")
    for heights, colour in zip(domains, cycle(DOMAIN_COLOURS), strict=False):
        axes.stairs(heights, edges, color=colour, linewidth=1.1)
    for cluster, density in enumerate(distribution.components):
        colour = CLUSTER_COLOURS[cluster % len(CLUSTER_COLOURS)]
        axes.plot(distribution.points, density, "--", color=colour, linewidth=1)
    if len(distribution.components):
        axes.plot(distribution.points, distribution.components.sum(0), color="black", linewidth=1)
    top = max(domains.sum(0).max(), typical_top(distribution.components))
    axes.set_ylim(0, 1.08 * top)
    axes.set_xlim(edges[0], edges[-1])


@analyses.add("distributions", order=80, needs=("subject", "folder", "recording"))
def draw_distributions(
    subject: Subject, folder: Path, recording: Recording | None = None
) -> Section:
    """Draw a grid of layers and channels before and after normalisation, into a folder.

    Raises:
        ValueError: see `dacbn.analysis.record`.
    """
    recording = recording or record(subject)
    described = compute_distributions(recording)
    domains = list(recording.images)
    figures = [
        _draw_grid(described, side, word, domains, folder)
        for side, word in enumerate(("before", "after"))
    ]
    return Section(
        "Distributions of activations",
        describe_distributions(described),
        tuple(figures),
        terms=("Wasserstein distance",),
        folded=True,
    )


def describe_distributions(
    described: dict[str, dict[int, tuple[Distribution, Distribution]]],
) -> tuple[str, ...]:
    """Describe in which channel the domains differ most before a layer, and the rest after it."""
    sentences = []
    for name, channels in described.items():
        channel, (before, after) = max(channels.items(), key=lambda item: _rank(item[1][0]))
        if math.isnan(before.distance):
            continue
        left = f"{after.distance:.2f} after it"
        if math.isnan(after.distance):
            left = "none after it, because its output is constant"
        sentences.append(
            f"{name}: the domains differ most in channel {channel}, by {before.distance:.2f} "
            f"standard deviations before the normaliser and {left}."
        )
    return tuple(sentences)


def _compute_channels(
    recording: Recording, name: str, count: int
) -> dict[int, tuple[Distribution, Distribution]]:
    acts, mixture = list(recording.layers[name].values()), recording.mixtures.get(name)
    before = [values_of(each.inputs) for each in acts]
    after = [values_of(each.outputs) for each in acts]
    order = np.arange(before[0].shape[1])
    if len(before) > 1:
        apart = np.nan_to_num(standardised_wasserstein(*before[:2]), nan=-1.0)
        order = np.argsort(-apart, kind="stable")
    distributions = {}
    for channel in sorted(order[:count].tolist()):
        components = None if mixture is None else mixture_of_channel(mixture, channel)
        distributions[channel] = (
            compute_distribution([value[:, channel] for value in before], components),
            compute_distribution([value[:, channel] for value in after]),
        )
    return distributions


def mixture_of_channel(mixture: Mixture, channel: int) -> tuple[Floats, Floats, Floats]:
    """Return the priors, means and variances of the components of a channel, (K,) each."""
    prior = mixture.prior[:, channel if mixture.assign == "channel" else 0]
    return prior.numpy(), mixture.mean[:, channel].numpy(), mixture.var[:, channel].numpy()


def _draw_grid(
    described: dict[str, dict[int, tuple[Distribution, Distribution]]],
    side: int,
    word: str,
    domains: list[str],
    folder: Path,
) -> Path:
    columns = max(map(len, described.values()))
    figure = Figure(figsize=(PAGE_WIDTH, 0.5 + 1.45 * len(described)), layout="constrained")
    grid = figure.subplots(len(described), columns, squeeze=False)
    arrays: dict[str, Floats] = {}
    most = 0
    names = short_names(list(described))
    for row, (name, label) in enumerate(zip(described, names, strict=True)):
        for column, (channel, both) in enumerate(described[name].items()):
            plot_distribution(both[side], grid[row, column])
            most = max(most, len(both[side].components))
            side_label = "" if column else f"{label}\ndensity"
            label_axes(grid[row, column], "", side_label, f"channel {channel}")
            grid[row, column].title.set_fontsize("small")
            arrays |= _arrays_of(f"{name}/{channel}", both[side])
        for axes in grid[row, len(described[name]) :]:
            axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("activation")
    handles = _legend(domains, most)
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), LEGEND_COLUMNS),
        frameon=False,
        fontsize="small",
        columnspacing=1,
        handlelength=1.5,
    )
    caption = (
        f"Activations {word} normalisation in the channels in which the domains differ most, "
        "with the learned mixture, if there is one; all curves have one scale."
    )
    return save_figure(figure, folder / f"distributions_{word}", arrays, caption)[0]


def _legend(domains: list[str], components: int) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [Patch(color="#DDDDDD", label="all")]
    for name, colour in zip(domains, cycle(DOMAIN_COLOURS), strict=False):
        handles.append(Line2D([], [], color=colour, label=name))
    if components:
        handles.append(Line2D([], [], color="black", label="mixture"))
    for cluster in range(min(components, 4)):
        colour = CLUSTER_COLOURS[cluster % len(CLUSTER_COLOURS)]
        label = f"cluster {cluster + 1}"
        handles.append(Line2D([], [], color=colour, linestyle="--", label=label))
    return handles


def _arrays_of(name: str, distribution: Distribution) -> dict[str, Floats]:
    fields = distribution._asdict().items()
    return {f"{name}/{field}": np.asarray(value) for field, value in fields}


def typical_top(components: Floats) -> float:
    """Return the height of a mixture (K, X), ignoring narrow spikes."""
    return float(np.percentile(components.sum(0), 98)) if components.size else 0.0


def _rank(distribution: Distribution) -> float:
    return -1.0 if math.isnan(distribution.distance) else distribution.distance
