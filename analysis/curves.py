"""How a training went: losses, the domain game, and test accuracy, step by step."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dacbn.analysis.style import NEUTRAL_COLOUR, SOURCE_COLOUR, TARGET_COLOUR, clean, save_figure
from dacbn.training import RunFolderError, read_records

Curves = dict[str, NDArray[np.float64]]

COLOURS = {
    "classification": SOURCE_COLOUR,
    "domain": NEUTRAL_COLOUR,
    "source_accuracy": SOURCE_COLOUR,
    "domain_accuracy": NEUTRAL_COLOUR,
    "source_test_accuracy": SOURCE_COLOUR,
    "target_test_accuracy": TARGET_COLOUR,
}
PANELS = {
    "Losses": ("classification", "domain"),
    "Training accuracy": ("source_accuracy", "domain_accuracy"),
    "Test accuracy": ("source_test_accuracy", "target_test_accuracy"),
}


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


def plot_curves(curves: Curves, names: tuple[str, ...], axes: Axes) -> None:
    """Draw some quantities over steps; those that were not recorded are left out."""
    for name in names:
        if name in curves:
            steps, values = curves[name].T
            marker = "o" if len(steps) < 12 else None
            label = name.replace("_", " ").removesuffix(" accuracy")
            axes.plot(steps, values, color=COLOURS[name], marker=marker, markersize=3, label=label)
    if "domain_accuracy" in names:
        axes.axhline(0.5, color=NEUTRAL_COLOUR, linewidth=0.8, linestyle=":")
    if axes.lines:
        axes.legend(frameon=False, fontsize="small")


def draw_curves(run: Path, folder: Path) -> list[Path]:
    """Draw the curves of a run folder into another folder: PNG, SVG and the arrays behind them.

    Raises:
        RunFolderError: the run has no records.
    """
    curves = compute_curves(read_records(run))
    if not curves:
        raise RunFolderError(f"{run} has no records yet: it ended before its first log")
    figure = Figure(figsize=(10, 3), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        plot_curves(curves, names, axes)
        clean(axes, "step", "loss (nats)" if title == "Losses" else "accuracy", title)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if title != "Losses":
            axes.set_ylim(0, 1.02)
    return save_figure(figure, folder / "curves", curves)
