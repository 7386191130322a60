"""Figures of clusters: use by domain and by class, overlap of components, example images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from dacbn.analysis.clusters.compute import Clusters
from dacbn.analysis.observe.layer_names import short_names
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.class_names import name_classes
from dacbn.analysis.presentation.style import CLUSTER_COLOURS, NEUTRAL_COLOUR, label_axes

MAX_ANNOTATED_ROWS = 24  # of a heat map, whose numbers can be read
BLANK = 255  # pixels where there is no image


def plot_occupancy(
    clusters: Mapping[str, Clusters], domain: int, title: str, axes: Axes
) -> AxesImage:
    """Draw the share of a domain's activations in each cluster; one row for each layer."""
    most = max(each.by_domain.shape[1] for each in clusters.values())
    shares = np.full((len(clusters), most), np.nan)
    for row, each in enumerate(clusters.values()):
        shares[row, : each.by_domain.shape[1]] = each.by_domain[domain]
    image = plot_shares(shares, axes)
    step = -(-len(clusters) // 30)
    axes.set_yticks(range(0, len(clusters), step), short_names(list(clusters))[::step])
    axes.set_xticks(range(most), [str(cluster + 1) for cluster in range(most)])
    axes.set_xlabel("cluster")
    axes.set_title(title, loc="left", fontsize="medium")
    return image


def plot_overlap(overlap: Floats, title: str, axes: Axes) -> AxesImage:
    """Draw the overlap (K, K) of each two components of a layer."""
    image = plot_shares(overlap, axes)
    names = [str(cluster + 1) for cluster in range(len(overlap))]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="cluster", ylabel="cluster", aspect="equal")
    axes.set_title(title, loc="left", fontsize="medium")
    return image


def plot_shares(shares: Floats, axes: Axes) -> AxesImage:
    """Draw a matrix of numbers between 0 and 1, with the numbers if there is room."""
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if len(shares) <= MAX_ANNOTATED_ROWS and shares.shape[1] <= 6:
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                colour = "white" if share > 0.6 else "black"
                text = f"{share:.2f}"
                axes.text(
                    column, row, text, ha="center", va="center", color=colour, fontsize="small"
                )
    return image


def plot_classes(by_class: Floats, classes: Sequence[str], title: str, axes: Axes) -> None:
    """Draw for each class the shares (Y, K) of its activations in each cluster."""
    bottom = np.zeros(len(by_class))
    for cluster, heights in enumerate(np.nan_to_num(by_class).T):
        colour = CLUSTER_COLOURS[cluster % len(CLUSTER_COLOURS)]
        axes.bar(
            range(len(heights)), heights, 0.85, bottom, color=colour, label=f"cluster {cluster + 1}"
        )
        bottom += heights
    label_axes(axes, "class", "share of activations", title)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(classes) - 0.4)
    axes.set_ylim(0, 1)
    name_classes(classes, axes)


def compute_examples(
    subject: Subject, recording: Recording, layer: str, count: int = 8
) -> dict[str, NDArray[Any]]:
    """Find the images with the largest responsibilities for each cluster of a layer.

    A cluster shows only images that are assigned to it. In a mixture per channel, where an image
    has a cluster in every channel, it shows those with the most activations in the cluster.

    Returns:
        by domain, uint8 images (K, count, S, S, 3), white where there are too few.
    """
    examples = {}
    for domain, activations in recording.layers[layer].items():
        assert activations.assigned is not None
        soft = activations.assigned.soft
        score, images = soft.mean(1), subject.samples[domain].images
        sheets = np.full((score.shape[1], count, images.size, images.size, 3), BLANK, np.uint8)
        for cluster, column in enumerate(score.T):
            best = column.argsort(descending=True, stable=True)[:count]
            if soft.shape[1] == 1:
                best = best[score[best].argmax(1) == cluster]
            if len(best):
                pixels = images.gather(recording.images[domain][best]).cpu()
                sheets[cluster, : len(best)] = pixels.permute(0, 2, 3, 1).numpy()
        examples[domain] = sheets
    return examples


def plot_examples(examples: Mapping[str, NDArray[Any]], cluster: int, axes: Axes) -> None:
    """Draw the examples of a cluster, a row for each domain."""
    rows = [_strip(sheets[cluster]) for sheets in examples.values()]
    axes.imshow(np.vstack(rows), interpolation="nearest")
    height = rows[0].shape[0]
    for row, (domain, sheets) in enumerate(examples.items()):
        if (sheets[cluster] == BLANK).all():
            text = f"no image of the {domain}"
            axes.text(height, height * (row + 0.5), text, va="center", color=NEUTRAL_COLOUR)
    axes.set_yticks([height * (row + 0.5) for row in range(len(rows))], list(examples))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"cluster {cluster + 1}", loc="left", fontsize="medium")


def _strip(images: NDArray[Any]) -> NDArray[Any]:
    """Put images (count, S, S, 3) side by side, with white gaps."""
    gap = max(1, images.shape[1] // 16)
    framed = np.pad(images, ((0, 0), (gap, gap), (gap, gap), (0, 0)), constant_values=255)
    return np.hstack(list(framed))
