"""Confidence intervals of accuracies and of their differences, in closed form.

Paper: Newcombe, "Two-Sided Confidence Intervals for the Single Proportion", "Interval Estimation
for the Difference Between Independent Proportions" and "Improved Confidence Intervals for the
Difference Between Binomial Proportions Based on Paired Data", Statistics in Medicine 1998; the
first interval is Wilson's, "Probable Inference, the Law of Succession, and Statistical Inference",
Journal of the American Statistical Association 1927.

All levels are 95 %.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

Z = 1.959963984540054  # quantile of the normal distribution at 97.5 %


class Interval(NamedTuple):
    """An interval of shares, or of differences of shares."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value lies within."""
        return self.low <= value <= self.high


def wilson(share: float, count: float) -> Interval:
    """Compute the interval of a share of `count` images, by Wilson.

    Raises:
        ValueError: there are no images.

    Example:
        >>> low, high = wilson(81 / 263, 263)
        >>> round(low, 4), round(high, 4)
        (0.2553, 0.3662)
    """
    if count < 1:
        raise ValueError(f"an interval needs at least 1 image, got {count}")
    square = Z * Z
    centre = 2 * count * share + square
    reach = Z * math.sqrt(square + 4 * count * share * (1 - share))
    low, high = ((centre + side * reach) / (2 * (count + square)) for side in (-1, 1))
    return Interval(max(0.0, min(low, share)), min(1.0, max(high, share)))


def newcombe(first: float, first_count: float, second: float, second_count: float) -> Interval:
    """Compute the interval of first - second, shares of different images, by Newcombe (method 10).

    Raises:
        ValueError: one has no images.
    """
    one, two = wilson(first, first_count), wilson(second, second_count)
    difference = first - second
    return Interval(
        difference - math.hypot(first - one.low, two.high - second),
        difference + math.hypot(one.high - first, second - two.low),
    )


def paired(both: int, only_first: int, only_second: int, neither: int) -> Interval:
    """Compute the interval of the difference of two shares of the same images, by Newcombe.

    Args:
        both: images that both answer rightly.
        only_first: those that the first alone does.
        only_second: those that the second alone does.
        neither: those that none does.

    Raises:
        ValueError: there are no images.
    """
    count = both + only_first + only_second + neither
    first, second = (both + only_first) / max(count, 1), (both + only_second) / max(count, 1)
    one, two = wilson(first, count), wilson(second, count)
    phi = _phi(both, only_first, only_second, neither)
    below, above = first - one.low, two.high - second
    low = math.sqrt(max(0.0, below**2 - 2 * phi * below * above + above**2))
    above, below = one.high - first, second - two.low
    high = math.sqrt(max(0.0, above**2 - 2 * phi * above * below + below**2))
    return Interval(first - second - low, first - second + high)


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Return the correlation of the two answers, with Newcombe's correction for continuity."""
    right, wrong = both + only_first, only_second + neither
    margins = right * wrong * (both + only_second) * (only_first + neither)
    if not margins:
        return 0.0
    product: float = both * neither - only_first * only_second
    if product > 0:
        product = max(product - (right + wrong) / 2, 0)
    return product / math.sqrt(margins)


def mean_interval(shares: Sequence[float], counts: Sequence[float]) -> Interval:
    """Compute the interval of the mean of shares of different images, by squaring and adding.

    Raises:
        ValueError: one has no images, or there are no shares.
    """
    if not shares:
        raise ValueError("an interval needs at least one share")
    each = [wilson(share, count) for share, count in zip(shares, counts, strict=True)]
    mean = sum(shares) / len(shares)
    below = math.hypot(*(share - one.low for share, one in zip(shares, each, strict=True)))
    above = math.hypot(*(one.high - share for share, one in zip(shares, each, strict=True)))
    return Interval(mean - below / len(shares), mean + above / len(shares))
