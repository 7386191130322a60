"""The predicted classes: class balance of the domains, and confusion matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from sklearn.metrics import confusion_matrix

from dacbn.analysis.analyses import analyses
from dacbn.analysis.observe.outputs import DomainOutput, Floats, Labels
from dacbn.analysis.observe.sides import pool
from dacbn.analysis.presentation.class_names import name_classes
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.style import (
    PAGE_WIDTH,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    label_axes,
    save_figure,
)

ALONE = 4.2  # inches, the width of a single confusion matrix
MAX_ANNOTATED_CLASSES = 12  # of a confusion matrix with numbers


def compute_class_shares(labels: Labels, num_classes: int) -> Floats:
    """Compute the share of each class (C,) among labels (N,)."""
    shares: Floats = np.bincount(labels, minlength=num_classes) / len(labels)
    return shares


def compute_total_variation(first: Floats, second: Floats) -> float:
    """Compute half the sum of |p - q|: the share of images that would have to change class."""
    return float(np.abs(first - second).sum() / 2)


def compute_confusion(output: DomainOutput) -> Floats:
    """Compute the share of each class (rows) that is predicted as each class (columns): (C, C).

    The rows of absent classes are zero.

    Raises:
        ValueError: there are no labels.
    """
    if output.labels is None:
        raise ValueError("there are no labels, which a confusion matrix needs")
    known = range(output.probabilities.shape[1])
    counts = confusion_matrix(output.labels, output.predictions, labels=known)
    shares: Floats = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return shares


def plot_balance(shares: Mapping[str, Floats], classes: Sequence[str], axes: Axes) -> None:
    """Draw class shares (C,), one bar for each class and name."""
    width = 0.8 / len(shares)
    looks: dict[str, dict[str, Any]] = {
        "source labels": {"color": SOURCE_COLOUR},
        "target predictions": {"color": TARGET_COLOUR},
        "target labels": {"color": "none", "edgecolor": TARGET_COLOUR, "linewidth": 0.9},
    }
    for index, (name, each) in enumerate(shares.items()):
        at = np.arange(len(each)) + width * (index - (len(shares) - 1) / 2)
        axes.bar(at, each, width, label=name, **looks.get(name, {}))
    axes.legend(
        frameon=False, fontsize="x-small", ncols=3, loc="lower right", bbox_to_anchor=(1, 1)
    )
    label_axes(axes, "class", "share of images", "Class balance")
    axes.set_xlim(-0.6, len(classes) - 0.4)
    name_classes(classes, axes)


def plot_confusion(confusion: Floats, classes: Sequence[str], axes: Axes) -> AxesImage:
    """Draw the shares (C, C) of each true class (rows) that are predicted as each class."""
    image = axes.imshow(confusion, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= MAX_ANNOTATED_CLASSES:
        for row, column in zip(*np.nonzero(confusion >= 0.005), strict=True):
            share = confusion[row, column]
            colour = "white" if share > 0.5 else "black"
            text = f"{100 * share:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    name_classes(classes, axes)
    name_classes(classes, axes, "y")
    return image


@analyses.add("predictions", order=14, needs=("outputs", "classes", "folder"))
def draw_predictions(
    outputs: Mapping[str, DomainOutput], classes: Sequence[str], folder: Path
) -> Section:
    """Draw the class balance and the confusions of a network's predictions into a folder.

    Args:
        outputs: by domain, sources with labels and targets with or without.
        classes: class names.
        folder: for the figures.
    """
    shares = compute_balance(outputs)
    figure = Figure(figsize=(PAGE_WIDTH, 2.8), layout="constrained")
    plot_balance(shares, classes, figure.subplots())
    caption = "Class shares of the predictions on the target, and of the labels of the source."
    arrays = {name.replace(" ", "_"): each for name, each in shares.items()}
    files = [save_figure(figure, folder / "class_balance", arrays, caption)[0]]
    confusions = {
        domain: compute_confusion(each)
        for domain, each in outputs.items()
        if each.labels is not None
    }
    if confusions:
        files.append(_draw_confusions(confusions, classes, folder))
    sentences = tuple(_findings(shares, confusions, classes))
    terms = ("total variation", *(("confusion",) if confusions else ()))
    return Section("Predictions", sentences, tuple(files), terms=terms)


def compute_balance(outputs: Mapping[str, DomainOutput]) -> dict[str, Floats]:
    """Compute the class shares (C,) of the labels of the source and the predictions on the target.

    The labels of the target are included if it has any; they are for the report alone.

    Raises:
        ValueError: the source has no labels, or there is no target.
    """
    source, target = pool(outputs, True), pool(outputs, False)
    if source is None or source.labels is None or target is None:
        raise ValueError("the class balance needs a source with labels, and a target")
    num_classes = source.probabilities.shape[1]
    labels = {"source labels": source.labels, "target predictions": target.predictions}
    if target.labels is not None:
        labels["target labels"] = target.labels
    return {name: compute_class_shares(each, num_classes) for name, each in labels.items()}


def _draw_confusions(
    confusions: Mapping[str, Floats], classes: Sequence[str], folder: Path
) -> Path:
    columns = min(2, len(confusions))
    lines = -(-len(confusions) // columns)
    size = PAGE_WIDTH if columns == 2 else ALONE, 3.8 * lines
    figure = Figure(figsize=size, layout="constrained")
    all_axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (domain, confusion) in zip(all_axes, confusions.items(), strict=False):
        label_axes(axes, "predicted class", "class", f"{domain}, % of class")
        image = plot_confusion(confusion, classes, axes)
        axes.grid(False)
    for axes in all_axes[len(confusions) :]:
        axes.remove()
    figure.colorbar(image, ax=figure.axes, label="share of class", aspect=30, shrink=0.8)
    caption = "Share of each class that the network predicts as each class, on the test splits."
    return save_figure(figure, folder / "confusion", confusions, caption)[0]


def _findings(
    shares: Mapping[str, Floats], confusions: Mapping[str, Floats], classes: Sequence[str]
) -> list[str]:
    away = compute_total_variation(shares["source labels"], shares["target predictions"])
    sentences = [
        f"{away:.0%} of the predictions on the target would have to change to match the class "
        "balance of the source (total variation)."
    ]
    for domain, confusion in confusions.items():
        wrong = confusion * (1 - np.eye(len(confusion)))
        row, column = divmod(int(wrong.argmax()), len(wrong))
        if wrong[row, column] > 0:
            sentences.append(
                f"{domain}: the most frequent confusion is {classes[row]} predicted as "
                f"{classes[column]}, {wrong[row, column]:.0%} of that class."
            )
    return sentences
