"""Temperature scaling: the planted temperature, scikit-learn, and extremes."""

import numpy as np
import pytest
from planted_label_shift import draw_logits, softmax, to_held_out
from sklearn.linear_model import LogisticRegression

from dacbn.label_shift.calibration import fit_temperature

PRIOR = np.array([0.6, 0.3, 0.1])


@pytest.mark.parametrize("temperature", [0.05, 1.0, 40.0])
def test_a_planted_temperature_is_found(temperature):
    logits, labels = draw_logits(np.random.default_rng(0), PRIOR, 20_000, trained=PRIOR)
    found = fit_temperature(to_held_out(temperature * logits, labels))
    assert found == pytest.approx(temperature, rel=0.03)


def test_two_classes_are_calibrated_as_by_logistic_regression():
    shares = np.array([0.7, 0.3])
    logits, labels = draw_logits(np.random.default_rng(1), shares, 5000, trained=shares)
    difference = 3 * (logits[:, 1:] - logits[:, :1])
    expected = LogisticRegression(C=1e8, tol=1e-10, fit_intercept=False).fit(difference, labels)
    found = fit_temperature(to_held_out(3 * logits, labels))
    assert 1 / found == pytest.approx(expected.coef_.item(), rel=1e-2)


def test_it_is_finite_where_nothing_is_misclassified():
    labels = np.arange(300) % 3
    temperature = fit_temperature(to_held_out(np.eye(3)[labels], labels))
    confidence = softmax(np.eye(3) / temperature).diagonal()
    np.testing.assert_allclose(confidence, 1 - 2 / 3 / 301, atol=1e-4)


def test_logits_without_information_become_equal_probabilities():
    drawn = np.random.default_rng(2)
    temperature = fit_temperature(to_held_out(-(drawn.normal(size=(9, 3)) ** 2), np.arange(9) % 3))
    flipped = fit_temperature(to_held_out(-np.eye(3), np.arange(3)))
    assert temperature > 0 and flipped > 100
