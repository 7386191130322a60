"""How a training went: losses, accuracies, and what else it recorded, step by step."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

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

Curves = dict[str, NDArray[np.float64]]


class Panel(NamedTuple):
    """Quantities that are drawn together.

    Args:
        title: a few words.
        unit: of the values.
        starts: what their names may start with.
        ends: what their names may end with.
        limits: of the values, where they are known.
    """

    title: str
    unit: str
    starts: tuple[str, ...] = ("",)
    ends: tuple[str, ...] = ("",)
    limits: tuple[float, float] | None = None

    def holds(self, name: str) -> bool:
        """Whether a quantity belongs here."""
        return name.startswith(self.starts) and name.endswith(self.ends)


HIDDEN = Panel("", "", ends=("_class_accuracy",))  # close to the accuracy: kept, not drawn
LOSSES = Panel("Losses", "loss (nats)")  # whatever no other panel holds
VALIDATORS = Panel("Validators", "share of own range", ("validator_",))
# A quantity belongs to the first panel that holds it.
PANELS = (
    Panel("Test accuracy", "accuracy", ends=("_test_accuracy",), limits=(0, 1.02)),
    VALIDATORS,
    Panel("Training accuracy", "share", ends=("_accuracy", "_agreement"), limits=(0, 1.02)),
    Panel(
        *("Strengths and thresholds", "share or factor"),
        ends=("adversarial_strength", "confident", "threshold", "_weight"),
    ),
    Panel("Predictions", "nats", ends=("target_entropy", "mutual_information")),
    Panel("Lengths", "feature norm", ends=("_feature_norm",)),
    Panel("Learning rate", "rate", ("lr",), ("lr",)),
    Panel("Speed", "steps per second", ends=("per_second",)),
    LOSSES,
)
SHOWN = (LOSSES, *PANELS[:-1])  # the order in the figure


def compute_curves(records: list[dict[str, Any]]) -> Curves:
    """Gather each quantity's records.

    Returns:
        by quantity, (points, 2): step and value.
    """
    names = {name for row in records for name in row if name != "step"}
    return {
        name: np.array([(row["step"], row[name]) for row in records if name in row], dtype=float)
        for name in sorted(names)
    }


def arrange(names: Iterable[str]) -> dict[Panel, tuple[str, ...]]:
    """Sort quantities into the panels they are drawn in; panels without any are left out."""
    by_panel: dict[Panel, list[str]] = {panel: [] for panel in SHOWN}
    for name in names:
        if not HIDDEN.holds(name):
            by_panel[next(panel for panel in PANELS if panel.holds(name))].append(name)
    return {panel: tuple(held) for panel, held in by_panel.items() if held}


def to_own_range(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map the values of a curve (points, 2) to [0, 1]; a constant becomes 0.5."""
    steps, values = curve.T
    low, high = values.min(), values.max()
    shares = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.column_stack([steps, shares])


def plot_curves(curves: Curves, names: tuple[str, ...], axes: Axes) -> None:
    """Draw some quantities over steps; those that were not recorded are left out."""
    drawn = [name for name in names if name in curves]
    for name, colour in zip(drawn, _colours(drawn), strict=True):
        steps, values = curves[name].T
        marker = "o" if len(steps) < 12 else None
        label = _words(name)
        if not VALIDATORS.holds(name):  # where it is not the panel's title
            label = label.removesuffix(" accuracy")
        axes.plot(
            *(steps, values), color=colour, marker=marker, markersize=3, linewidth=1.2, label=label
        )
    if "domain_accuracy" in drawn:
        axes.axhline(0.5, color=NEUTRAL_COLOUR, linewidth=0.8, linestyle=":")
    # a long legend would cover the lines
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.3), "ncols": 2}
    if drawn:
        axes.legend(frameon=False, fontsize="x-small", **(below if len(drawn) > 2 else {}))


@analyses.add("training curves", place=10, needs=("run", "folder"))
def draw_curves(run: Path, folder: Path) -> Section:
    """Draw the curves of a run folder into another folder.

    Raises:
        RunFolderError: the run has no records.
    """
    curves = compute_curves(read_records(run))
    if not curves:
        raise RunFolderError(f"{run} has no records yet: it ended before its first log")
    # a single score has no range of its own to be drawn in
    panels = arrange(name for name in curves if len(curves[name]) > 1 or not VALIDATORS.holds(name))
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(PAGE_WIDTH, 2.1 * rows), layout="constrained")
    places = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, (panel, names) in zip(places, panels.items(), strict=False):
        _plot_panel(curves, panel, names, axes)
    for axes in places[len(panels) :]:
        axes.remove()
    caption = "What the training recorded, over its steps; the losses are weighted as optimised."
    files = save_figure(figure, folder / "curves", curves, caption)
    return Section("How the training went", tuple(_findings(curves)), (files[0],))


def _plot_panel(curves: Curves, panel: Panel, names: tuple[str, ...], axes: Axes) -> None:
    if panel is VALIDATORS:  # their units differ
        curves = {name: to_own_range(curves[name]) for name in names}
    plot_curves(curves, names, axes)
    alone = len(names) == 1
    label_axes(axes, "step", panel.unit, _words(names[0]).capitalize() if alone else panel.title)
    legend = axes.get_legend()
    if alone and legend is not None:  # the title says it
        legend.remove()
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if panel.limits:
        axes.set_ylim(*panel.limits)


def _words(name: str) -> str:
    return {"lr": "learning rate"}.get(name, name.removeprefix("validator_").replace("_", " "))


def _colours(names: list[str]) -> list[str]:
    """Choose colours by domain where a name tells it, else in the palette's order."""
    known = {"source": SOURCE_COLOUR, "classification": SOURCE_COLOUR, "target": TARGET_COLOUR}
    known |= {"domain": NEUTRAL_COLOUR, "conditional": NEUTRAL_COLOUR}
    others = iter(CLUSTER_COLOURS * len(names))
    return [known.get(name.split("_")[0]) or next(others) for name in names]


def _findings(curves: Curves) -> list[str]:
    last = {name: curves[name][-1] for name in curves if name.endswith("_test_accuracy")}
    return [
        f"The {name.split('_')[0]} test accuracy is {value:.1%} at step {step:.0f}."
        for name, (step, value) in sorted(last.items(), reverse=True)
    ]
