"""Calibration: whether the confidence of a network equals its accuracy.

Paper: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
https://arxiv.org/abs/1706.04599.
Differs from the paper: by default, all bins have the same number of images, so that no bin depends
on a few; `equal_mass=False` gives the bins of equal width of the paper.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom

from dacbn.analysis.analyses import analyses
from dacbn.analysis.observe.outputs import DomainOutput, Floats, Labels
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.style import (
    COLUMN_WIDTH,
    DOMAIN_COLOURS,
    DOMAIN_MARKERS,
    NEUTRAL_COLOUR,
    label_axes,
    save_figure,
)

BINS = 15


class Reliability(NamedTuple):
    """Confidence and accuracy of B bins of images.

    Attributes:
        confidence: mean of each bin (B,).
        accuracy: of each bin (B,).
        share: of the images (B,); sums to 1.
    """

    confidence: Floats
    accuracy: Floats
    share: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |accuracy - confidence| over images."""
        return float((self.share * np.abs(self.accuracy - self.confidence)).sum())

    @property
    def excess(self) -> float:
        """Mean confidence minus accuracy: above 0, the network is overconfident."""
        return float((self.share * (self.confidence - self.accuracy)).sum())


def compute_reliability(
    probabilities: Floats, labels: Labels, bins: int = BINS, equal_mass: bool = True
) -> Reliability:
    """Sort images by the probability of their predicted class, and score each bin.

    Args:
        probabilities: (N, C).
        labels: (N,).
        bins: number of bins; empty ones are left out.
        equal_mass: bins with equally many images, as far as equal confidences allow, instead of
            equal width in [0, 1].
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    order = np.argsort(confidence, kind="stable")
    edges = np.arange(1, bins) / bins
    if equal_mass:  # images of the same confidence share a bin, so that their order does not count
        ends = np.cumsum([len(part) for part in np.array_split(order, bins)])
        edges = confidence[order][ends[:-1].clip(1) - 1]
    parts = np.split(order, np.searchsorted(confidence[order], edges, side="right"))
    parts = [part for part in parts if len(part)]
    return Reliability(
        np.array([confidence[part].mean() for part in parts]),
        np.array([correct[part].mean() for part in parts]),
        np.array([len(part) / len(labels) for part in parts]),
    )


def error_by_chance(each: Reliability, images: int) -> float:
    """Compute the mean calibration error of so many images of a perfectly calibrated network.

    In each bin, the number of right answers is binomial with the mean confidence.
    """
    counts = np.rint(each.share * images).astype(int)
    spread = [
        np.abs(np.arange(count + 1) / count - sure) @ binom.pmf(np.arange(count + 1), count, sure)
        for count, sure in zip(counts, each.confidence, strict=True)
    ]
    return float(each.share @ np.array(spread))


def plot_reliability(reliabilities: Mapping[str, Reliability], axes: Axes) -> None:
    """Draw accuracy over confidence for each domain; on the diagonal, both are equal."""
    axes.plot([0, 1], [0, 1], color=NEUTRAL_COLOUR, linewidth=0.8, linestyle=":")
    for index, (domain, each) in enumerate(reliabilities.items()):
        axes.plot(
            *(each.confidence, each.accuracy),
            color=DOMAIN_COLOURS[index % len(DOMAIN_COLOURS)],
            marker=DOMAIN_MARKERS[index % len(DOMAIN_MARKERS)],
            markersize=4,
            linewidth=1.2,
            label=f"{domain}, error {each.error:.3f}",
        )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize="x-small")
    label_axes(axes, "confidence", "accuracy", "Calibration")


@analyses.add("calibration", order=16, needs=("outputs", "folder"))
def draw_calibration(outputs: Mapping[str, DomainOutput], folder: Path) -> Section:
    """Draw the accuracy of a network over its confidence, into a folder.

    Args:
        outputs: by domain; those without labels are left out.
        folder: for the figures.

    Raises:
        ValueError: no domain has labels.
    """
    reliabilities = {
        domain: compute_reliability(each.probabilities, each.labels)
        for domain, each in outputs.items()
        if each.labels is not None
    }
    if not reliabilities:
        raise ValueError("no domain has labels, which calibration needs")
    figure = Figure(figsize=(COLUMN_WIDTH, 3.0), layout="constrained")
    plot_reliability(reliabilities, figure.subplots())
    arrays = {
        f"{domain}/{field}": array
        for domain, each in reliabilities.items()
        for field, array in each._asdict().items()
    }
    caption = (
        "Accuracy over confidence in bins with equally many images; points below the diagonal are "
        "overconfident."
    )
    files = save_figure(figure, folder / "calibration", arrays, caption)
    findings = tuple(
        _describe_domain(domain, each, len(outputs[domain].probabilities))
        for domain, each in reliabilities.items()
    )
    terms = ("confidence", "expected calibration error (ECE)")
    return Section("Calibration", findings, (files[0],), terms=terms)


def _describe_domain(domain: str, each: Reliability, images: int) -> str:
    sentence = (
        f"{domain}: confidence differs from accuracy by {each.error:.3f} on average (expected "
        f"calibration error); of {images} images, a perfectly calibrated network would show "
        f"{error_by_chance(each, images):.3f} by chance"
    )
    if abs(each.excess) < 0.0005:  # it would be printed as 0
        return f"{sentence}."
    bias = "overconfident" if each.excess > 0 else "underconfident"
    return f"{sentence}; overall, the network is {bias} by {abs(each.excess):.3f}."
