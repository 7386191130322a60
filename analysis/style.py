"""The look that all figures share: colours that colour-blind readers tell apart."""

from matplotlib.axes import Axes

# Okabe and Ito's palette, https://jfly.uni-koeln.de/color/.
SOURCE_COLOUR = "#0072B2"
TARGET_COLOUR = "#D55E00"
NEUTRAL_COLOUR = "#555555"


def clean(axes: Axes, x: str, y: str, title: str) -> None:
    """Label axes and take away what carries no information."""
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3, linewidth=0.5)
