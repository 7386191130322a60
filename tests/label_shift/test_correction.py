"""Corrected predictions: the Bayes rule, no harm without shift, and what is refused or said."""

import warnings

import numpy as np
import pytest
import torch
from planted_label_shift import draw_logits, softmax, to_held_out

from dacbn.label_shift import check_estimator, correct, describe
from dacbn.spelling import as_option, spelling

SOURCE = np.array([0.4, 0.3, 0.2, 0.1])
TARGET = np.array([0.02, 0.08, 0.2, 0.7])
ESTIMATORS = ["bbse", "bbse(soft=True)", "em"]


def accuracies(estimator, target, seed, trained, distance=1.8):
    """Return accuracies without correction, with it, and of the Bayes rule.

    The network is three times too confident, and was trained with the shares `trained`.
    """
    drawn = np.random.default_rng(seed)
    held_out = draw_logits(drawn, SOURCE, 2000, distance, trained)
    logits, labels = draw_logits(drawn, target, 4000, distance, trained)
    bayes = logits - np.log(trained) + np.log(np.maximum(target, 1e-30))
    corrected = correct(
        estimator, to_held_out(3 * held_out[0], held_out[1]), torch.from_numpy(3 * logits).float()
    )
    torch.testing.assert_close(corrected.log_probabilities.exp().sum(1), torch.ones(4000))
    return [
        (scores.argmax(1) == labels).mean()
        for scores in (logits, corrected.log_probabilities.numpy(), bayes)
    ]


@pytest.mark.parametrize("trained", [SOURCE, np.full(4, 0.25)], ids=["as drawn", "balanced"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("target", [TARGET, np.array([0.0, 0.0, 0.5, 0.5])])
def test_accuracy_rises_to_that_of_the_bayes_rule(estimator, target, trained):
    runs = [accuracies(estimator, target, seed, trained) for seed in range(4)]
    before, after, best = np.mean(runs, axis=0)
    assert best > before + 0.04
    assert after > best - 0.01


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_shares_do_not_depend_on_how_confident_a_network_is(estimator):
    # abstention 0.1.3.1 (`EMImbalanceAdapter.__call__`, label_shift.py) calibrates the source and
    # reads the target's probabilities as they came: for overconfident ones shares moved by 0.05
    drawn = np.random.default_rng(7)
    held_out, labels = draw_logits(drawn, SOURCE, 2000, 1.8, SOURCE)
    logits, _ = draw_logits(drawn, TARGET, 4000, 1.8, SOURCE)
    once, more = (
        correct(
            estimator,
            to_held_out(scale * held_out, labels),
            torch.from_numpy(scale * logits).float(),
        )
        for scale in (1, 4)
    )
    np.testing.assert_allclose(more.prior, once.prior, atol=1e-3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_a_shift_nothing_is_harmed_beyond_noise(estimator):
    runs = [accuracies(estimator, SOURCE, seed, SOURCE) for seed in range(4)]
    before, after, _ = np.mean(runs, axis=0)
    assert after > before - 0.004


def test_probabilities_are_those_of_the_source_times_the_weights():
    drawn = np.random.default_rng(0)
    held_out = draw_logits(drawn, SOURCE, 2000, trained=SOURCE)
    logits, _ = draw_logits(drawn, TARGET, 2000, trained=SOURCE)
    found = correct("em", to_held_out(*held_out), torch.from_numpy(logits).float())
    expected = softmax(logits + np.log(found.prior / SOURCE))
    assert np.abs(found.log_probabilities.exp().numpy() - expected).mean() < 0.01


def test_few_images_are_said_and_enough_are_not():
    logits, labels = draw_logits(np.random.default_rng(1), SOURCE, 40)
    rows = torch.from_numpy(logits).float()
    text = (
        "^label shift between 4 classes is estimated from 19 target images, which is rough: 20 or "
        "more are better$"
    )
    with pytest.warns(UserWarning, match=text):
        correct("em", to_held_out(logits, labels), rows[:19])
    with pytest.warns(UserWarning, match="from 1 target images and 3 held-out source images"):
        correct("bbse", to_held_out(logits[:3], labels[:3]), rows[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        correct("em", to_held_out(logits, labels), rows)


def test_logits_that_are_not_finite_are_refused():
    logits, labels = draw_logits(np.random.default_rng(2), SOURCE, 40)
    rows = torch.from_numpy(logits).float()
    rows[3, 1] = torch.nan
    with pytest.raises(ValueError, match="needs finite logits"):
        correct("em", to_held_out(logits, labels), rows)


@pytest.mark.parametrize(
    ("spec", "adapt", "message"),
    [
        ("emm", None, "unknown label-shift estimator 'emm'. Did you mean 'em'"),
        ("em(soft=True)", None, "em has no option 'soft', nor any other"),
        ("bbse(soft=1)", None, "soft of bbse must be True or False, got 1"),
        ("em + bbse", None, "cannot add label-shift estimators: choose one"),
        ("em", "tent", "--adapt changes the network while it predicts, and --label-shift compares"),
    ],
)
def test_what_cannot_be_meant_is_refused(spec, adapt, message):
    with spelling(as_option), pytest.raises(ValueError, match=f"^{message}".replace("(", r"\(")):
        check_estimator(spec, adapt)


def test_the_largest_shares_are_named():
    assert describe(np.array([0.25, 0.75]), ("ant", "bee")) == (
        "estimated shares of classes: bee 75.0%, ant 25.0%"
    )
    assert describe(np.full(9, 1 / 9), "abcdefghi").endswith("e 11.1% and 4 others")
