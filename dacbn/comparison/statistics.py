"""The statistics of a comparison: means, paired differences, and rank correlations."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
MIN_PAIRS = 5  # of a rank correlation: any order of fewer may be chance, at a level of 5 %


class Summary(NamedTuple):
    """The mean of some values, their standard deviation (None for one value) and their number."""

    mean: float
    sd: float | None
    values: int


class Difference(NamedTuple):
    """The mean of paired differences.

    Attributes:
        mean: of the differences.
        interval: its confidence interval; None for a single pair.
        pairs: how many there are.
        shares: the two values of a single pair; None of several.
        by_images: the interval of a single pair by the images that both answered, if it is known.
    """

    mean: float
    interval: tuple[float, float] | None
    pairs: int
    shares: tuple[float, float] | None = None
    by_images: tuple[float, float] | None = None


def summarise(values: Sequence[float]) -> Summary | None:
    """Summarise values; None if there are none."""
    if not values:
        return None
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Summary(statistics.fmean(values), sd, len(values))


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Return the mean of ours - theirs over the seeds that both have; None if there are none.

    The interval is Student's, with confidence level CONFIDENCE.
    """
    pairs = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
    summary = summarise([first - second for first, second in pairs])
    if summary is None:
        return None
    mean, sd, count = summary
    if sd is None:
        return Difference(mean, None, count, pairs[0])
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * sd / count**0.5
    return Difference(mean, (mean - reach, mean + reach), count)


def rank_correlation(scores: Sequence[float], accuracies: Sequence[float]) -> float | None:
    """Correlate the ranks of scores and accuracies (Spearman).

    Pairs with NaN or infinite values are left out. None for fewer than MIN_PAIRS pairs, and if all
    scores or all accuracies are equal.
    """
    return _correlate(*_ranks(scores, accuracies), weighted=False)


def weighted_rank_correlation(scores: Sequence[float], accuracies: Sequence[float]) -> float | None:
    """Weighted rank correlation: errors among the best-ranked items weigh more.

    Paper: Musgrave et al., "Three New Validators and a Large-Scale Benchmark Ranking for
    Unsupervised Domain Adaptation", 2022, https://arxiv.org/abs/2208.07360. A pair weighs the
    square of the larger of its two ranks.
    """
    return _correlate(*_ranks(scores, accuracies), weighted=True)


def _ranks(
    scores: Sequence[float], accuracies: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = np.array([scores, accuracies], dtype=float)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    return stats.rankdata(pairs[0]), stats.rankdata(pairs[1])


def _correlate(
    first: NDArray[np.float64], second: NDArray[np.float64], weighted: bool
) -> float | None:
    if len(first) < MIN_PAIRS or len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return None
    weights = np.maximum(first, second) ** 2 if weighted else None
    covariance = np.cov(first, second, aweights=weights, ddof=0)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
