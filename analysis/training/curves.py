"""Curves of a training: losses, accuracies and all other recorded numbers, over steps."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dacbn.analysis.analyses import analyses
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.style import (
    CLUSTER_COLOURS,
    NEUTRAL_COLOUR,
    PAGE_WIDTH,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    label_axes,
    save_figure,
)
from dacbn.training import RunFolderError, read_records
from dacbn.training.metrics import (
    DOMAIN_ACCURACY,
    LEARNING_RATE,
    OF_DOMAIN,
    TEST_ACCURACY,
    VALIDATOR,
    Panel,
    find_metric,
    is_validator,
)
from dacbn.training.score_intervals import describe_score

Curves = dict[str, NDArray[np.float64]]


SHARES = (Panel.TEST_ACCURACY, Panel.TRAINING_ACCURACY)  # drawn from 0 to 1


def compute_curves(records: list[dict[str, Any]]) -> Curves:
    """Turn the records of a run into curves.

    Returns:
        for each name, (points, 2): step and value.
    """
    names = {name for row in records for name in row if name != "step"}
    return {
        name: np.array([(row["step"], row[name]) for row in records if name in row], dtype=float)
        for name in sorted(names)
    }


def arrange(names: Iterable[str]) -> dict[Panel, tuple[str, ...]]:
    """Sort names into the panels that draw them, in order of the panels; empty ones are left out.

    Names that are not in the table of metrics go to `Panel.OTHER`.
    """
    by_panel: dict[Panel | None, list[str]] = {}
    for name in names:
        metric = find_metric(name)
        by_panel.setdefault(metric.panel if metric else Panel.OTHER, []).append(name)
    return {panel: tuple(by_panel[panel]) for panel in Panel if panel in by_panel}


def has_several_domains(curves: Curves) -> bool:
    """Whether there are scores of several sources or several targets."""
    return any(OF_DOMAIN in name for name in curves)


def to_own_range(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rescale the values of a curve (points, 2) to [0, 1]; a constant becomes 0.5."""
    steps, values = curve.T
    low, high = values.min(), values.max()
    shares = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.column_stack([steps, shares])


def plot_curves(curves: Curves, names: tuple[str, ...], axes: Axes) -> None:
    """Draw the named curves over steps; names that were not recorded are left out."""
    drawn = [name for name in names if name in curves]
    for name, colour in zip(drawn, _colours(drawn), strict=True):
        steps, values = curves[name].T
        marker = "o" if len(steps) < 12 else None
        label = _words(name)
        if not is_validator(name):  # the word is in the title of the panel
            label = label.removesuffix(" accuracy")
        axes.plot(
            *(steps, values), color=colour, marker=marker, markersize=3, linewidth=1.2, label=label
        )
    if DOMAIN_ACCURACY in drawn and not has_several_domains(curves):  # chance between two
        axes.axhline(0.5, color=NEUTRAL_COLOUR, linewidth=0.8, linestyle=":")
    # a long legend would cover the lines
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.3), "ncols": 2}
    if drawn:
        axes.legend(frameon=False, fontsize="x-small", **(below if len(drawn) > 2 else {}))


@analyses.add("training curves", order=40, needs=("run", "folder"), optional=("classes",))
def draw_curves(run: Path, folder: Path, classes: Sequence[str] | None = None) -> Section:
    """Draw the curves of a run folder, and save the figure in another folder.

    Args:
        run: the run folder.
        folder: for the figure.
        classes: class names, for the accuracy by chance.

    Raises:
        RunFolderError: the run has no records.
    """
    curves = compute_curves(read_records(run))
    if not curves:
        raise RunFolderError(f"{run} has no records yet: it ended before its first log")
    caption = "Recorded numbers over training steps; losses are weighted as optimised."
    files = save_figure(plot_panels(curves), folder / "curves", curves, caption)
    return Section("Training curves", tuple(_findings(curves, len(classes or ()))), (files[0],))


def plot_panels(curves: Curves) -> Figure:
    """Draw all curves, each in the panel that the table of metrics names.

    Of the scores of several domains their mean is drawn.
    """
    # a validator is drawn in its own range, which a single score does not have
    panels = arrange(
        name
        for name in curves
        if (len(curves[name]) > 1 or not is_validator(name)) and OF_DOMAIN not in name
    )
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(PAGE_WIDTH, 2.1 * rows), layout="constrained")
    all_axes = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, (panel, names) in zip(all_axes, panels.items(), strict=False):
        _plot_panel(curves, panel, names, axes)
    for axes in all_axes[len(panels) :]:
        axes.remove()
    return figure


def _plot_panel(curves: Curves, panel: Panel, names: tuple[str, ...], axes: Axes) -> None:
    if panel is Panel.VALIDATORS:  # their units differ
        curves = {name: to_own_range(curves[name]) for name in names}
    plot_curves(curves, names, axes)
    alone = len(names) == 1
    units = dict.fromkeys(metric.unit for metric in map(find_metric, names) if metric)
    label_axes(
        axes, "step", ", ".join(units), _words(names[0]).capitalize() if alone else panel.value
    )
    legend = axes.get_legend()
    if alone and legend is not None:  # the title is the same
        legend.remove()
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if panel in SHARES:
        axes.set_ylim(0, 1.02)


def _words(name: str) -> str:
    return (
        "learning rate" if name == LEARNING_RATE else name.removeprefix(VALIDATOR).replace("_", " ")
    )


def _colours(names: list[str]) -> list[str]:
    """Choose colours by domain for names that begin with one, else in the palette's order."""
    known = {"source": SOURCE_COLOUR, "classification": SOURCE_COLOUR, "target": TARGET_COLOUR}
    known |= {"domain": NEUTRAL_COLOUR, "conditional": NEUTRAL_COLOUR}
    others = iter(CLUSTER_COLOURS * len(names))
    return [known.get(name.split("_")[0]) or next(others) for name in names]


def _findings(curves: Curves, num_classes: int) -> list[str]:
    numbers = {name: float(curve[-1, 1]) for name, curve in curves.items()}
    last = {domain: curves[name][-1] for domain, name in TEST_ACCURACY.items() if name in curves}
    return [
        f"The {domain} test accuracy is {describe_score(numbers, domain, num_classes)} at step "
        f"{step:.0f}."
        for domain, (step, _) in sorted(last.items(), reverse=True)
    ]
