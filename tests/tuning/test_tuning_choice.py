"""The choice among trials is by ranks of validators, and has nothing else to choose by."""

import math
import random

import pytest

from dacbn.training.metrics import METRICS
from dacbn.tuning.choice import choose_trial, label_free, merit, vote


def slow_vote(candidates, names):
    """The mean share of trials below, by pairs; an equal score is half below."""
    votes = {}
    for number, own in candidates.items():
        shares = []
        for name in names:
            others = [each[name] for each in candidates.values()]
            below = sum(other < own[name] for other in others)
            equal = sum(other == own[name] for other in others)
            shares.append((below + equal / 2) / len(others))
        votes[number] = sum(shares) / len(shares)
    return votes


def test_votes_are_shares_of_pairs_won():
    draw = random.Random(0)
    names = ["a", "b", "c"]
    candidates = {n: {name: draw.choice([0, 1, 2.5]) for name in names} for n in range(9)}
    assert vote(candidates, names) == pytest.approx(slow_vote(candidates, names))


def test_units_do_not_matter():
    candidates = {0: {"a": 1.0, "b": 5.0}, 1: {"a": 2.0, "b": 4.9}, 2: {"a": 3.0, "b": 4.8}}
    scaled = {n: {"a": 1e6 * own["a"], "b": own["b"]} for n, own in candidates.items()}
    assert vote(candidates, ["a", "b"]) == vote(scaled, ["a", "b"])


def test_the_first_of_equals_is_chosen():
    candidates = {2: {"a": 1.0}, 1: {"a": 1.0}, 3: {"a": 0.0}}
    assert choose_trial(candidates, ["a"]) == 1
    assert choose_trial({}, ["a"]) is None


def test_only_finite_scores_of_validators_are_kept():
    record = {name: 0.5 for name in METRICS}
    record |= {
        "step": 3,
        "validator_bnm": 0.1,
        "validator_snd": math.nan,
        "validator_dev": -math.inf,
    }
    assert label_free(record) == {"bnm": 0.1}


def test_the_search_maximises_one_score_or_the_vote_among_those_before():
    before = [{"a": 1.0, "b": 1.0}, {"a": 3.0, "b": 3.0}, {"a": 9.0}]
    assert merit({"a": 2.0, "b": 9.0}, before, ["a"]) == 2.0
    assert merit({"a": 2.0, "b": 9.0}, before, ["a", "b"]) == pytest.approx((0.5 + 2.5 / 3) / 2)
    assert merit({"a": 2.0, "b": 9.0}, [], ["a", "b"]) == 0.5
