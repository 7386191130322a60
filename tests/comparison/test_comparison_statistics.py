"""Means, paired differences and rank correlations, against scipy's and by hand."""

import numpy as np
import pytest
from scipy import stats

from dacbn.comparison.statistics import (
    paired_difference,
    rank_correlation,
    summarise,
    weighted_rank_correlation,
)


@pytest.fixture
def pairs():
    random = np.random.default_rng(0)
    scores = random.normal(size=12)
    return scores, scores + random.normal(size=12)


def test_the_standard_deviation_is_that_of_a_sample():
    assert summarise([1.0, 2.0, 6.0]) == (3, pytest.approx(np.std([1, 2, 6], ddof=1)), 3)


def test_one_value_has_no_deviation_and_none_no_mean():
    assert summarise([0.5]) == (0.5, None, 1)
    assert summarise([]) is None


def test_the_interval_is_scipys_of_a_paired_t_test():
    ours, theirs = {0: 0.5, 1: 0.7, 2: 0.65, 3: 0.8}, {0: 0.4, 1: 0.75, 2: 0.5, 3: 0.6}
    test = stats.ttest_rel(list(ours.values()), list(theirs.values()))
    interval = test.confidence_interval(0.95)
    mean, (low, high), count, *_ = paired_difference(ours, theirs)
    assert mean == pytest.approx(0.1) and count == 4
    assert (low, high) == pytest.approx((interval.low, interval.high))


def test_only_seeds_that_both_have_are_paired_whatever_their_order():
    difference = paired_difference({2: 0.9, 0: 0.5, 5: 0.0}, {0: 0.4, 2: 0.6, 7: 1.0})
    assert difference.mean == pytest.approx(0.2) and difference.pairs == 2
    assert difference.interval == pytest.approx((0.2 - 1.27062, 0.2 + 1.27062), abs=1e-5)


def test_one_pair_has_no_interval_and_none_no_difference():
    assert paired_difference({0: 0.5}, {0: 0.25, 1: 1}) == (0.25, None, 1, (0.5, 0.25), None)
    assert paired_difference({0: 0.5}, {1: 0.5}) is None


def test_equal_differences_have_an_interval_without_width():
    assert paired_difference({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.5}).interval == (0.25, 0.25)


def test_the_rank_correlation_is_spearmans(pairs):
    assert rank_correlation(*pairs) == pytest.approx(stats.spearmanr(*pairs).statistic)
    tied = [1, 1, 2, 3, 2], [0.1, 0.4, 0.4, 0.2, 0.3]
    assert rank_correlation(*tied) == pytest.approx(stats.spearmanr(*tied).statistic)


def test_a_pair_weighs_like_as_many_copies_as_its_larger_rank_squared(pairs):
    ranks = np.array([stats.rankdata(each) for each in pairs])
    copies = (ranks.max(0) ** 2).astype(int)
    expected = np.corrcoef(*np.repeat(ranks, copies, axis=1))[0, 1]
    assert weighted_rank_correlation(*pairs) == pytest.approx(expected)


def test_a_mistake_about_the_best_costs_more_than_one_about_the_worst():
    truth = [1, 2, 3, 4, 5, 6]
    about_best, about_worst = [1, 2, 3, 4, 6, 5], [2, 1, 3, 4, 5, 6]
    assert rank_correlation(about_best, truth) == pytest.approx(
        rank_correlation(about_worst, truth)
    )
    best, worst = (weighted_rank_correlation(each, truth) for each in (about_best, about_worst))
    assert best < worst < 1


@pytest.mark.parametrize("correlate", [rank_correlation, weighted_rank_correlation])
def test_constant_scores_rank_nothing_and_missing_ones_are_left_out(correlate):
    rising = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert correlate([1] * 5, rising) is None
    assert correlate([1, 2, 3, 4], rising[:4]) is None and correlate([], []) is None
    gap = [1, 2, float("nan"), 3, 4, 5]
    assert correlate(gap, [0.1, 0.2, 0.0, 0.3, 0.4, 0.5]) == pytest.approx(1)
    assert correlate([5, 4, 3, 2, 1], rising) == pytest.approx(-1)
