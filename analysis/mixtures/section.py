"""Text and figures that compare the mixtures of layers with scikit-learn's, for the report."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from dacbn.analysis.analyses import analyses
from dacbn.analysis.domains.distributions import (
    component_densities,
    mixture_of_channel,
    typical_top,
)
from dacbn.analysis.mixtures.compute import MAX_COMPONENTS, MixtureFit, compute_mixtures
from dacbn.analysis.observe.layer_names import short_names
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    CLASS_COLOURS,
    CLUSTER_COLOURS,
    NEUTRAL_COLOUR,
    PAGE_WIDTH,
    label_axes,
    save_figure,
)

LAYER_COLOUR, FITTED_COLOUR = "#0072B2", "#D55E00"
MIN_ADVANTAGE = 0.005  # nats per value; less is no difference
MAX_PANELS = 4  # channels side by side
BINS, POINTS = 60, 400


def plot_advantages(fits: Mapping[str, MixtureFit], axes: Axes) -> None:
    """Draw the held-out log-likelihood of scikit-learn minus the layer's, a bar for each layer."""
    for row, fit in enumerate(fits.values()):
        colour = FITTED_COLOUR if fit.advantage > 0 else LAYER_COLOUR
        axes.barh(row, fit.advantage, 0.6, color=colour)
    axes.axvline(0, color=NEUTRAL_COLOUR, linewidth=0.8)
    label_axes(axes, "nats per value", "", "Log-likelihood, minus the layer's")
    axes.title.set_fontsize("small")
    axes.grid(visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_yticks(range(len(fits)), short_names(list(fits)))
    axes.set_ylim(len(fits) - 0.4, -0.6)


def plot_bic(fits: Mapping[str, MixtureFit], axes: Axes) -> None:
    """Draw half of scikit-learn's BIC, minus its minimum, over the number of components."""
    counts = np.arange(1, MAX_COMPONENTS + 1)
    for row, (fit, name) in enumerate(zip(fits.values(), short_names(list(fits)), strict=True)):
        curve = fit.bic.sum(0) / (2 * fit.held_out.size)
        colour = CLASS_COLOURS[row % len(CLASS_COLOURS)]
        axes.plot(counts, curve - curve.min(), "o-", color=colour, markersize=3, label=name)
    label_axes(axes, "components", "nats per value", "BIC / 2 minus its minimum")
    axes.title.set_fontsize("small")
    axes.set_xticks(counts)
    axes.legend(frameon=False, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))


def plot_mixture(
    values: Floats, prior: Floats, mean: Floats, var: Floats, title: str, axes: Axes
) -> None:
    """Draw a mixture of components (K,) over the histogram of activations (M,), on one scale."""
    low, high = np.percentile(values, [0.2, 99.8])
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    width = edges[1] - edges[0]
    heights = np.histogram(values, edges)[0] / (len(values) * width)
    axes.stairs(heights, edges, fill=True, color="#DDDDDD")
    points = np.linspace(edges[0], edges[-1], POINTS)
    components = component_densities(points, prior, mean, var)
    for cluster, density in enumerate(components):
        colour = CLUSTER_COLOURS[cluster % len(CLUSTER_COLOURS)]
        axes.plot(points, density, "--", color=colour, linewidth=1)
    axes.plot(points, components.sum(0), color="black", linewidth=1)
    axes.set_ylim(0, 1.1 * max(heights.max(), typical_top(components), 1e-6))
    axes.set_xlim(edges[0], edges[-1])
    label_axes(axes, "", "", title)
    axes.title.set_fontsize("small")


@analyses.add("mixtures", order=70, needs=("subject", "folder", "recording"))
def draw_mixtures(subject: Subject, folder: Path, recording: Recording | None = None) -> Section:
    """Draw the mixtures of layers and those that scikit-learn fits, into a folder.

    Raises:
        ValueError: no layer has a mixture, or there are too few activations.
    """
    fits = compute_mixtures(recording or record(subject))
    figure = Figure(figsize=(PAGE_WIDTH, 6.2), layout="constrained")
    halves = figure.add_gridspec(2, 1, height_ratios=(1, 1.35))
    top = halves[0].subgridspec(1, 2)
    left, right = figure.add_subplot(top[0]), figure.add_subplot(top[1])
    plot_advantages(fits, left)
    plot_bic(fits, right)
    name = max(fits, key=lambda key: fits[key].advantage)
    label = short_names(list(fits))[list(fits).index(name)]
    _draw_side_by_side(fits[name], label, figure, halves[1])
    handles = [
        Patch(color="#DDDDDD", label="held-out activations"),
        Line2D([], [], color="black", label="mixture"),
        Line2D([], [], color="black", linestyle="--", label="components"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    caption = (
        "The layers' mixtures compared with scikit-learn's: likelihood, number of components by "
        f"BIC, and both mixtures over the activations of {name}."
    )
    file = save_figure(figure, folder / "mixtures_beside_sklearn", _arrays(fits), caption)[0]
    table = [_row(name, fit) for name, fit in fits.items()]
    title = "The layers' mixtures compared with scikit-learn's"
    terms = ("log-likelihood", "BIC", "components by BIC", "ARI", "NMI")
    sentences, tables = describe_mixtures(fits), {title: table}
    return Section(title, sentences, (file,), tables, terms=terms, folded=True)


def describe_mixtures(fits: Mapping[str, MixtureFit]) -> tuple[str, ...]:
    """Describe for each layer which mixture fits better, by how much, and what BIC prefers."""
    return tuple(sentence for name, fit in fits.items() for sentence in _describe_fit(name, fit))


def _describe_fit(name: str, fit: MixtureFit) -> list[str]:
    layer, fitted = fit.likelihood.mean(0)
    numbers = f"{fitted:.2f} against {layer:.2f} nats per value"
    if fit.advantage > MIN_ADVANTAGE:
        verdict = (
            f"scikit-learn's mixture with as many components fits better by {fit.advantage:.2f} "
            f"({numbers} on held-out activations)"
        )
    elif fit.advantage < -MIN_ADVANTAGE:
        verdict = f"the layer's mixture fits better by {-fit.advantage:.2f} ({numbers})"
    else:
        verdict = f"the layer's mixture fits as well as scikit-learn's ({numbers})"
    return [
        f"{name}: {verdict}; the assignments of both agree by ARI {fit.ari.mean():.2f} and NMI "
        f"{fit.nmi.mean():.2f}.",
        f"{name}: {_describe_bic(fit)}; the layer has {fit.num_clusters}.",
    ]


def _describe_bic(fit: MixtureFit) -> str:
    if len(fit.preferred) == 1:
        return f"BIC prefers {_components(int(fit.preferred[0]))}"
    votes = Counter(fit.preferred.tolist())
    favourite, number = votes.most_common(1)[0]
    least, most = min(votes), max(votes)
    between = f", and from {least} to {_components(most)} over all channels" if least < most else ""
    return (
        f"BIC prefers {_components(favourite)} in {number} of {len(fit.preferred)} "
        f"channels{between}"
    )


def _components(count: int) -> str:
    more = " or more" if count == MAX_COMPONENTS else ""
    return f"{count}{more} component{'' if count == 1 else 's'}"


def _draw_side_by_side(fit: MixtureFit, name: str, figure: Figure, space: SubplotSpec) -> None:
    """Draw both mixtures over the same activations, in the channels where they differ most."""
    count = min(MAX_PANELS, len(fit.channels))
    difference = (fit.layer.mean - fit.fitted.mean).abs().sum(0) / fit.layer.var.sqrt().mean(0)
    shown = sorted(difference.argsort(descending=True, stable=True)[:count].tolist())
    grid = space.subgridspec(2, count)
    for row, (word, mixture) in enumerate((("layer", fit.layer), ("scikit-learn", fit.fitted))):
        for column, index in enumerate(shown):
            axes = figure.add_subplot(grid[row, column])
            title = "" if row else f"channel {fit.channels[index]}"
            plot_mixture(fit.held_out[:, index], *mixture_of_channel(mixture, index), title, axes)
            axes.set_ylabel("" if column else f"{name}, {word}\ndensity")
            axes.set_xlabel("activation" if row else "")


def _row(name: str, fit: MixtureFit) -> Row:
    layer, fitted = fit.likelihood.mean(0)
    values = fit.held_out.size
    return {
        "layer": name,
        "assigns": fit.assign,
        "clusters": fit.num_clusters,
        "log-likelihood, layer": round(float(layer), 3),
        "log-likelihood, scikit-learn": round(float(fitted), 3),
        "BIC per value, layer": round(float(fit.layer_bic.sum() / values), 3),
        "BIC per value, scikit-learn": round(
            float(fit.bic[:, min(fit.num_clusters, MAX_COMPONENTS) - 1].sum() / values), 3
        ),
        "components by BIC": round(float(np.median(fit.preferred)), 1),
        "ARI": round(float(fit.ari.mean()), 3),
        "NMI": round(float(fit.nmi.mean()), 3),
    }


def _arrays(fits: Mapping[str, MixtureFit]) -> dict[str, Floats]:
    arrays = {}
    for name, fit in fits.items():
        for field in ("channels", "held_out", "likelihood", "bic", "layer_bic", "ari", "nmi"):
            arrays[f"{name}/{field}"] = getattr(fit, field)
        for whose, mixture in (("layer", fit.layer), ("fitted", fit.fitted)):
            for field in ("prior", "mean", "var"):
                arrays[f"{name}/{whose}_{field}"] = getattr(mixture, field).numpy()
    return arrays
