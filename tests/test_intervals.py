"""Intervals agree with published examples and with what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from dacbn.intervals import Interval, Z, mean_interval, newcombe, paired, wilson


def test_the_quantile():
    assert pytest.approx(stats.norm.ppf(0.975), abs=1e-15) == Z


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),  # table I of Newcombe 1998
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_the_published_examples(right, count, low, high):
    assert wilson(right / count, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("count", [1, 7, 400])
def test_wilson_solves_its_equation(share, count):
    """Its ends are the shares from which the observed one is Z standard errors away."""
    for end in wilson(share, count):
        assert abs(share - end) == pytest.approx(Z * math.sqrt(end * (1 - end) / count), abs=1e-9)


def test_a_difference_agrees_with_the_published_example():
    assert newcombe(56 / 70, 70, 48 / 80, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(9 / 10, 10, 3 / 10, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_a_paired_difference_agrees_with_the_published_example():
    assert paired(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_paired_answers_that_agree_are_told_apart_sooner():
    """Of 300 images 20 turned right and none wrong; as different images nothing could be said."""
    close = paired(200, 20, 0, 80)
    apart = newcombe(220 / 300, 300, 200 / 300, 300)
    assert close.low > 0 and apart.holds(0)


def test_the_order_of_a_pair_only_changes_the_sign():
    low, high = paired(30, 9, 4, 7)
    assert paired(30, 4, 9, 7) == pytest.approx((-high, -low))


def test_a_paired_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    shares = np.array([0.5, 0.2, 0.1, 0.2])
    draws = random.multinomial(80, shares, 2000)
    held = np.mean([paired(*map(int, draw)).holds(0.1) for draw in draws])
    assert 0.93 < held < 0.98


def test_the_mean_of_one_domain_is_the_domain():
    assert mean_interval([0.3], [50]) == pytest.approx(wilson(0.3, 50))
    two = mean_interval([0.3, 0.3], [50, 50])
    one = wilson(0.3, 50)
    assert two.high - 0.3 == pytest.approx((one.high - 0.3) / math.sqrt(2))


def test_nothing_has_no_interval():
    for compute in (
        lambda: wilson(0.5, 0),
        lambda: paired(0, 0, 0, 0),
        lambda: mean_interval([], []),
    ):
        with pytest.raises(ValueError, match="at least"):
            compute()
    assert Interval(0.1, 0.2).holds(0.15) and not Interval(0.1, 0.2).holds(0.3)
