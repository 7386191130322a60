"""Points of an embedding in axes: by class, with their names, and by domain."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from dacbn.analysis.observe.outputs import Floats, Labels
from dacbn.analysis.presentation.class_names import shorten
from dacbn.analysis.presentation.style import (
    DOMAIN_COLOURS,
    DOMAIN_MARKERS,
    class_colours,
)

MAX_CLASS_NAMES = 20  # more would cover the points
POINT_SIZE = 6  # in square typographic points
LAYERS = 8  # of points above each other, each with all domains
LETTER, LINE = 0.032, 0.06  # width and height of letters, as shares of a panel


class Embedded(NamedTuple):
    """The embedded features of one network.

    Attributes:
        points: (N, 2).
        labels: (N,); predictions for a domain without labels.
        domains: (N,), indices of the domains.
    """

    points: Floats
    labels: Labels
    domains: Labels


def plot_by_class(embedded: Embedded, classes: Sequence[str], axes: Axes) -> None:
    """Draw points in the colour of their class and with the marker of their domain."""
    palette = np.array(class_colours(len(classes)))
    for domain in np.unique(embedded.domains):
        here = embedded.domains == domain
        colours = palette[embedded.labels[here]]
        marker = DOMAIN_MARKERS[domain % len(DOMAIN_MARKERS)]
        _scatter(embedded.points[here], colours, marker, axes)
    _frame(axes)
    if len(classes) > MAX_CLASS_NAMES:
        return
    written: list[Floats] = []
    side = np.ptp(embedded.points, axis=0).max() or 1.0
    for label in np.unique(embedded.labels[embedded.domains == 0]):
        members = (embedded.labels == label) & (embedded.domains == 0)
        name, centre = shorten(classes[label]), np.median(embedded.points[members], axis=0)
        half = side * np.array([LETTER * len(name), LINE]) / 2
        box = np.stack([centre - half, centre + half])
        if not any((box[0] < each[1]).all() and (each[0] < box[1]).all() for each in written):
            written.append(box)  # the legend has those that would cover others
            _write(name, centre, axes)


def plot_by_domain(embedded: Embedded, axes: Axes) -> None:
    """Draw points in the colour of their domain, in random order, so that no domain is on top."""
    palette = np.array(DOMAIN_COLOURS)
    for rows in np.array_split(np.random.default_rng(0).permutation(len(embedded.points)), LAYERS):
        for domain in np.unique(embedded.domains[rows]):
            here = rows[embedded.domains[rows] == domain]
            colours = palette[embedded.domains[here] % len(palette)]
            marker = DOMAIN_MARKERS[domain % len(DOMAIN_MARKERS)]
            _scatter(embedded.points[here], colours, marker, axes)
    _frame(axes)


def _scatter(points: Floats, colours: object, marker: str, axes: Axes) -> None:
    axes.scatter(
        *(points[:, 0], points[:, 1]),
        c=colours,  # type: ignore[arg-type]
        marker=marker,
        s=POINT_SIZE,
        alpha=0.75,
        linewidths=0,
        rasterized=True,  # thousands of vector marks make files too large
    )


def _write(name: str, centre: Floats, axes: Axes) -> None:
    axes.annotate(
        name,
        (centre[0], centre[1]),
        ha="center",
        va="center",
        fontsize="small",
        fontweight="bold",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    axes.spines[:].set_color("#bbbbbb")
