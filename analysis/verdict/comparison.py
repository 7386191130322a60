"""Compare several runs: a table, and their curves in the same axes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dacbn.analysis.analyses import comparisons
from dacbn.analysis.clusters.compute import compute_clusters, labels_of
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    CLUSTER_COLOURS,
    NEUTRAL_COLOUR,
    PAGE_WIDTH,
    label_axes,
    save_figure,
)
from dacbn.analysis.training.curves import Curves
from dacbn.training import TrainConfig
from dacbn.training.metrics import (
    DOMAIN_ACCURACY,
    NUM_IMAGES,
    SOURCE_ACCURACY,
    SOURCE_TEST_ACCURACY,
    TARGET_TEST_ACCURACY,
)
from dacbn.training.score_intervals import describe_score

MAX_IMAGES = 500  # of each domain, for the clusters
QUANTITIES = (TARGET_TEST_ACCURACY, SOURCE_TEST_ACCURACY, SOURCE_ACCURACY, DOMAIN_ACCURACY)
IMAGES = NUM_IMAGES["target"]
DASHES = ("-", "--", "-.", ":")  # besides colours, for colour-blind readers


@comparisons.add(
    "comparison",
    order=10,
    needs=("curves", "configs", "scores", "agreement", "folder"),
    optional=("classes",),
)
def compare_runs(
    curves: Mapping[str, Curves],
    configs: Mapping[str, TrainConfig],
    scores: Mapping[str, Scores],
    agreement: Mapping[str, Mapping[str, float]],
    folder: Path,
    classes: Sequence[str] | None = None,
) -> Section:
    """Tabulate runs, and draw their accuracies in the same axes, into a folder."""
    rows = compute_comparison(curves, configs, scores, agreement)
    return draw_comparison(curves, rows, folder, len(classes or ()))


def compute_comparison(
    curves: Mapping[str, Curves],
    configs: Mapping[str, TrainConfig],
    scores: Mapping[str, Scores],
    agreement: Mapping[str, Mapping[str, float]],
) -> list[Row]:
    """Tabulate runs, one row for each.

    Args:
        curves: by run, the recorded quantities.
        configs: by run, the settings.
        scores: by run, scores of the features; runs without images are absent.
        agreement: by run, further numbers by name, such as those of its clusters.
    """
    rows: list[Row] = []
    for name, config in configs.items():
        row: Row = {
            "run": name,
            "method": config.method,
            "norm": config.norm or "own norms",
            "steps": _last_step(curves[name]),
            "seed": config.seed,
        }
        for quantity in (TARGET_TEST_ACCURACY, SOURCE_TEST_ACCURACY, DOMAIN_ACCURACY, IMAGES):
            row[quantity.replace("_", " ")] = _last(curves[name], quantity)
        for field in Scores._fields:
            value = getattr(scores[name], field) if name in scores else np.nan
            row[field.replace("_", " ")] = _known(value)
        for field, value in agreement.get(name, {}).items():
            row[field] = _known(value)
        rows.append(row)
    return rows


def measure_agreement(subject: Subject, seed: int = 0) -> dict[str, float]:
    """Measure the agreement of clusters with domain and class: mean NMI over mixture layers.

    Raises:
        ValueError: no layer has a mixture.
    """
    recording = record(subject, images=MAX_IMAGES, seed=seed)
    clusters = compute_clusters(recording, labels_of(subject, recording), len(subject.classes))
    domain, kind = zip(*(each.nmi for each in clusters.values()), strict=True)
    return {"cluster NMI domain": float(np.mean(domain)), "cluster NMI class": float(np.mean(kind))}


def plot_comparison(curves: Mapping[str, Curves], quantity: str, axes: Axes) -> None:
    """Draw one quantity over steps, for every run that recorded it."""
    for index, (name, each) in enumerate(curves.items()):
        if quantity in each:
            steps, values = each[quantity].T
            axes.plot(
                *(steps, values),
                color=CLUSTER_COLOURS[index % len(CLUSTER_COLOURS)],
                linestyle=DASHES[index % len(DASHES)],
                marker="o" if len(steps) < 12 else None,
                markersize=3,
                linewidth=1.3,
                label=name,
            )
    if quantity == DOMAIN_ACCURACY:
        axes.axhline(0.5, color=NEUTRAL_COLOUR, linewidth=0.8, linestyle=":")


def draw_comparison(
    curves: Mapping[str, Curves], rows: Sequence[Row], folder: Path, num_classes: int = 0
) -> Section:
    """Draw the accuracies of runs in the same axes, into a folder.

    Args:
        curves: by run.
        rows: from `compute_comparison`.
        folder: folder of the figures.
        num_classes: number of classes, for the accuracy by chance; 0 leaves it out.
    """
    shown = [name for name in QUANTITIES if any(name in each for each in curves.values())]
    height = -(-len(shown) // 2)
    figure = Figure(figsize=(PAGE_WIDTH, 2.3 * height + 0.3 * len(curves)), layout="constrained")
    all_axes = figure.subplots(height, 2, squeeze=False, sharex=True).ravel()
    for axes, quantity in zip(all_axes, shown, strict=False):
        plot_comparison(curves, quantity, axes)
        label_axes(axes, "step", "accuracy", quantity.replace("_", " ").capitalize())
        axes.set_ylim(0, 1.02)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axes in all_axes[len(shown) :]:
        axes.remove()
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        *(handles.values(), handles.keys()), loc="outside lower left", frameon=False, fontsize=8
    )
    arrays = {
        f"{name}/{quantity}": each[quantity]
        for name, each in curves.items()
        for quantity in shown
        if quantity in each
    }
    caption = "Accuracies of all runs during training."
    files = save_figure(figure, folder / "comparison", arrays, caption)
    return Section(
        "Runs side by side",
        tuple(_findings(rows, curves, num_classes)),
        (files[0],),
        {"Runs": list(rows)},
    )


def _findings(rows: Sequence[Row], curves: Mapping[str, Curves], num_classes: int) -> list[str]:
    known = [row for row in rows if row["target test accuracy"] != ""]
    if not known:
        return ["No run has a target test accuracy: their targets have no labels."]
    ranked = sorted(known, key=lambda row: float(row["target test accuracy"]), reverse=True)
    numbers = {
        name: {quantity: float(curve[-1, 1]) for quantity, curve in each.items()}
        for name, each in curves.items()
    }
    scores = {
        name: describe_score(numbers[name], "target", num_classes)
        for name in (str(row["run"]) for row in known)
    }
    ordered = "; ".join(f"{row['run']} {scores[str(row['run'])]}" for row in ranked)
    return [
        f"Target test accuracy at the last checkpoint, from the highest: {ordered}.",
        "Runs also differ by their seeds: compare several seeds of each with dacbn compare before "
        "drawing conclusions.",
    ]


def _last(curves: Curves, quantity: str) -> float | str:
    return round(float(curves[quantity][-1, 1]), 4) if quantity in curves else ""


def _last_step(curves: Curves) -> int:
    return int(max(curve[-1, 0] for curve in curves.values()))


def _known(value: float) -> float | str:
    return "" if np.isnan(value) else round(float(value), 3)
