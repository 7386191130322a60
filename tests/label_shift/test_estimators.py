"""Estimators of class shares: references, planted shifts, and what cannot be known."""

import numpy as np
import pytest
from planted_label_shift import draw_logits, softmax
from scipy.optimize import minimize

from dacbn.label_shift import Calibrated
from dacbn.label_shift.bbse import bbse
from dacbn.label_shift.em import em

SOURCE = np.array([0.4, 0.3, 0.2, 0.1])
TARGET = np.array([0.05, 0.1, 0.15, 0.7])
FOUND = {"bbse": bbse, "soft": lambda *given: bbse(*given, soft=True), "em": em}


def calibrated(drawn, prior, count, distance=2.5):
    """Draw points, and probabilities of a classifier trained with the shares of the source."""
    logits, labels = draw_logits(drawn, prior, count, distance, SOURCE)
    return Calibrated(softmax(logits), labels)


def loop_confusion(guessed, labels, classes):
    """Sum probabilities (N, C) by label, image by image."""
    confusion = np.zeros((classes, classes))
    for row, label in zip(guessed, labels, strict=True):
        confusion[:, label] += row / len(labels)
    return confusion


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("target", [TARGET, np.array([0.5, 0.5, 0.0, 0.0])])
def test_bbse_minimises_its_objective(soft, target):
    drawn = np.random.default_rng(0)
    source, seen = calibrated(drawn, SOURCE, 600, 1.0), calibrated(drawn, target, 150, 1.0)
    rows = [each.probabilities for each in (source, seen)]
    if not soft:
        rows = [np.array([[float(v == max(row)) for v in row] for row in each]) for each in rows]
    confusion = loop_confusion(rows[0], source.labels, 4)
    shares = (np.bincount(source.labels, minlength=4) + 1) / 604

    def objective(weights):
        misfit = confusion @ weights - rows[1].mean(0)
        pull = shares * weights - shares
        return 1e4 * (misfit @ misfit + 4 * (1 / 600 + 1 / 150) * (pull @ pull))

    best = minimize(objective, np.ones(4), bounds=[(0, None)] * 4, tol=1e-14, method="L-BFGS-B")
    prior, weights = bbse(source, seen.probabilities, soft)
    np.testing.assert_allclose(weights, best.x, atol=1e-4)
    expected = weights * shares
    np.testing.assert_allclose(prior, expected / expected.sum())


def test_em_finds_the_largest_likelihood():
    drawn = np.random.default_rng(1)
    source, seen = calibrated(drawn, SOURCE, 600), calibrated(drawn, TARGET, 150)
    expected = source.probabilities.mean(0)

    def objective(free):  # minus the log-posterior of shares softmax(free)
        prior = np.exp(free) / np.exp(free).sum()
        likelihood = [sum(row * prior / expected) for row in seen.probabilities]
        return -np.log(likelihood).sum() - 4 * (expected * np.log(prior)).sum()

    best = minimize(objective, np.log(expected), tol=1e-10)
    prior, weights = em(source, seen.probabilities)
    np.testing.assert_allclose(prior, softmax(best.x[None])[0], atol=1e-4)
    np.testing.assert_allclose(weights, prior / expected, rtol=1e-6)


def test_em_takes_the_steps_of_the_paper(monkeypatch):
    drawn = np.random.default_rng(2)
    source, seen = calibrated(drawn, SOURCE, 100), calibrated(drawn, TARGET, 50)
    expected = source.probabilities.mean(0)
    prior = expected
    for _ in range(3):
        rows = [row * prior / expected for row in seen.probabilities]
        posterior = np.array([row / row.sum() for row in rows])
        prior = (posterior.sum(0) + 4 * expected) / (50 + 4)
    monkeypatch.setattr("dacbn.label_shift.em.MAX_ITERATIONS", 3)
    np.testing.assert_allclose(em(source, seen.probabilities).prior, prior, rtol=1e-12)


def sampling_errors(name, target, held_out, images):
    """Compute the standard deviation of each share, by the delta method from 100,000 images.

    With K the mean of what is averaged for each class, and S its covariance, shares are
    K^-1 m, and the errors of m and K are independent. That of EM is no larger than that of BBSE
    from probabilities.
    """
    sample = calibrated(np.random.default_rng(99), np.full(4, 0.25), 100_000)
    rows = sample.probabilities
    if name == "bbse":
        rows = np.eye(4)[rows.argmax(1)]
    by_class = [rows[sample.labels == label] for label in range(4)]
    means = np.stack([each.mean(0) for each in by_class], 1)
    spreads = [np.cov(each.T) for each in by_class]
    second = sum(
        share * (spread + np.outer(mean, mean))
        for share, spread, mean in zip(target, spreads, means.T, strict=True)
    )
    total = (second - np.outer(means @ target, means @ target)) / images
    for share, spread, source in zip(target, spreads, SOURCE, strict=True):
        total += share**2 * spread / (held_out * source)
    inverse = np.linalg.inv(means)
    return np.sqrt((inverse @ total @ inverse.T).diagonal())


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize(
    "target", [TARGET, SOURCE, np.array([0.0, 0.0, 0.3, 0.7]), np.array([0.97, 0.01, 0.01, 0.01])]
)
def test_planted_shares_are_recovered_within_their_sampling_error(name, target):
    priors = []
    for seed in range(16):
        drawn = np.random.default_rng(seed)
        source, seen = calibrated(drawn, SOURCE, 2000), calibrated(drawn, target, 2000)
        priors.append(FOUND[name](source, seen.probabilities).prior)
    errors = np.array(priors) - target
    expected = sampling_errors(name, target, 2000, 2000)
    assert (expected < 0.035).all()
    assert (np.sqrt((errors**2).mean(0)) < 1.5 * expected).all()
    assert np.array(priors).min() >= 0
    np.testing.assert_allclose(np.sum(priors, axis=1), 1)


@pytest.mark.parametrize("name", FOUND)
def test_the_images_of_the_source_itself_have_no_shift(name):
    source = calibrated(np.random.default_rng(3), SOURCE, 500)
    np.testing.assert_allclose(FOUND[name](source, source.probabilities).weights, 1, atol=1e-3)


def test_where_predictions_determine_nothing_nothing_is_corrected():
    source = calibrated(np.random.default_rng(4), SOURCE, 500)
    constant = Calibrated(np.tile(SOURCE, (500, 1)), source.labels)  # confusion of rank 1
    for name, estimate in FOUND.items():
        weights = estimate(constant, np.tile(SOURCE, (100, 1))).weights
        np.testing.assert_allclose(weights, 1, atol=1e-6, err_msg=name)


def test_classes_that_are_never_told_apart_share_their_weight():
    drawn = np.random.default_rng(5)
    source = calibrated(drawn, SOURCE, 2000, 4.0)
    seen = calibrated(drawn, np.array([0.1, 0.1, 0.2, 0.6]), 2000, 4.0)
    known, mixed = (each.probabilities.copy() for each in (source, seen))
    for rows in (known, mixed):  # class 1 is predicted as class 0
        rows[:, 0] += rows[:, 1] - 1e-9
        rows[:, 1] = 1e-9
    for soft in (False, True):
        prior, weights = bbse(Calibrated(known, source.labels), mixed, soft)
        np.testing.assert_allclose(prior[2:], [0.2, 0.6], atol=0.03)
        assert prior[:2].sum() == pytest.approx(0.2, abs=0.03) and (weights[:2] > 0.1).all()


def test_a_class_that_was_not_held_out_keeps_its_weight():
    drawn = np.random.default_rng(6)
    source = calibrated(drawn, np.array([0.5, 0.5, 0.0, 0.0]), 500)
    seen = calibrated(drawn, np.array([0.5, 0.3, 0.2, 0.0]), 500)
    assert bbse(source, seen.probabilities).weights[3] == pytest.approx(1)


@pytest.mark.parametrize("name", FOUND)
def test_one_image_moves_the_shares_little(name):
    drawn = np.random.default_rng(7)
    source = calibrated(drawn, SOURCE, 2000)
    weights = FOUND[name](source, np.array([[0.02, 0.02, 0.06, 0.9]])).weights
    assert (weights > 0.25).all() and weights.max() < 4
