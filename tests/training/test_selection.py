"""What the rules choose from records written by hand."""

import math

import pytest

from dacbn.training import Choice, choose


def row(step, accuracy=None, **scores):
    numbers = {} if accuracy is None else {"target_test_accuracy": accuracy}
    return {"step": step, **numbers, **{f"validator_{name}": s for name, s in scores.items()}}


def chosen(records):
    return {choice.rule: choice[1:] for choice in choose(records)}


def test_every_rule_chooses_its_best_evaluation_among_the_records_of_losses():
    records = [
        {"step": 1, "classification": 3.0},
        row(2, 0.5, entropy=-0.3, bnm=0.9),
        {"step": 3, "classification": 1.0},
        row(4, 0.8, entropy=-0.2, bnm=0.8),
        row(6, 0.6, entropy=-0.1, bnm=0.7),
    ]
    assert choose(records) == [
        Choice("last", 6, 0.6),
        Choice("median", None, 0.6),
        Choice("entropy", 6, 0.6),
        Choice("bnm", 2, 0.5),
        Choice("oracle", 4, 0.8),
    ]


def test_the_median_is_that_of_the_last_ten():
    accuracies = [0.0, 0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.45, 0.55, 0.5]
    records = [row(step, accuracy) for step, accuracy in enumerate(accuracies, 1)]
    # of 0.2 0.3 0.4 0.45 0.5 | 0.55 0.6 0.7 0.8 0.9
    assert chosen(records)["median"] == (None, pytest.approx(0.525))


def test_of_equal_scores_the_latest_is_chosen():
    assert chosen([row(1, 0.9, bnm=1.0), row(2, 0.1, bnm=1.0)])["bnm"] == (2, 0.1)


def test_a_score_that_is_no_number_is_never_chosen():
    records = [row(1, 0.5, snd=math.nan), row(2, 0.6, snd=1.0), row(3, 0.7, snd=math.nan)]
    assert chosen(records)["snd"] == (2, 0.6)
    assert "snd" not in chosen(records[::2])


def test_a_validator_missing_from_some_evaluations_chooses_among_the_others():
    assert chosen([row(1, 0.5, dev=1.0), row(2, 0.6)])["dev"] == (1, 0.5)


def test_records_without_validators_have_the_other_rules():
    assert list(chosen([row(1, 0.5), row(2, 0.6)])) == ["last", "median", "oracle"]


def test_without_target_labels_there_are_steps_and_no_oracle():
    assert chosen([row(1, bnm=2.0), row(2, bnm=1.0)]) == {"last": (2, None), "bnm": (1, None)}


@pytest.mark.parametrize("records", [[], [{"step": 1, "classification": 1.0}]])
def test_without_evaluations_there_is_nothing_to_choose(records):
    assert choose(records) == []
