"""DEV: its weights against known densities, and its risk against a regression."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.linear_model import LinearRegression

from dacbn.batch import Output
from dacbn.training import ValidatorInputs, importance_weights, validators, weighted_validators
from dacbn.training.weighted_validators import deep_embedded_risk

SHIFT = np.array([1.0, -0.5, 0.0])


def gaussians(source=3000, target=2000, seed=0):
    """Draw features of two Gaussians, whose densities are known."""
    random = np.random.default_rng(seed)
    pair = random.normal(size=(source, 3)), random.normal(size=(target, 3)) + SHIFT
    return [torch.tensor(features, dtype=torch.float32) for features in pair]


def inputs_with(right, source, target):
    """Let a model of two classes be right with certainty 0.9 on some source images."""
    labels = torch.zeros(len(source), dtype=torch.int64)
    logits = torch.zeros(len(source), 2)
    logits[:, 0] = torch.where(right, 2.2, -2.2)
    return ValidatorInputs(
        Output(source, logits), labels, Output(target, torch.zeros(len(target), 2))
    )


def true_weights(source):
    at_target = multivariate_normal(SHIFT).logpdf(source.numpy())
    return np.exp(at_target - multivariate_normal(np.zeros(3)).logpdf(source.numpy()))


def test_weights_are_the_ratio_of_the_densities():
    source, target = gaussians()
    weights = importance_weights(inputs_with(source[:, 0] > 0, source, target))
    logs, expected = np.log(weights), np.log(true_weights(source))
    assert np.corrcoef(logs, expected)[0, 1] > 0.99
    assert np.abs(logs - expected).mean() < 0.15
    assert weights.mean() == pytest.approx(1, abs=0.1)


def test_weights_of_one_domain_are_near_one():
    source, _ = gaussians(2000)
    weights = importance_weights(inputs_with(source[:, 0] > 0, source, gaussians(2000, seed=1)[0]))
    assert np.abs(weights - 1).max() < 0.5


def test_each_half_is_weighed_by_a_classifier_of_the_other(monkeypatch):
    """With more features than images, a classifier knows the domain of all that it has seen."""
    monkeypatch.setattr(weighted_validators, "STRENGTHS", (1.0,))
    random = torch.Generator().manual_seed(0)
    source, target = torch.randn(2, 200, 300, generator=random)
    weights = importance_weights(inputs_with(source[:, 0] > 0, source, target))
    # seen ones would weigh less than a hundredth
    assert 0.2 < np.median(weights) < 5


def test_the_risk_is_a_regressions_where_weights_are_one():
    random = np.random.default_rng(0)
    weights, losses = random.gamma(2, 0.6, 50), random.gamma(1, 1, 50)
    line = LinearRegression().fit(weights[:, None], weights * losses)
    expected = line.predict([[1.0]])[0]
    assert deep_embedded_risk(weights, losses) == pytest.approx(expected)


def test_equal_weights_leave_the_mean_loss():
    assert deep_embedded_risk(np.ones(4), np.array([1.0, 2, 3, 6])) == pytest.approx(3)


def test_the_risk_estimates_the_loss_on_the_target():
    source, _ = gaussians()
    losses = (source[:, 0].numpy() > 0.5).astype(float)
    risk = deep_embedded_risk(true_weights(source), losses)
    # the first target feature is a standard normal around 1
    assert risk == pytest.approx(0.6915, abs=0.05) and losses.mean() < 0.35


@pytest.mark.parametrize("name", ["dev", "dev_normalised"])
def test_the_model_that_errs_away_from_the_target_is_preferred(name):
    source, target = gaussians(1000, 800)
    along = source @ torch.tensor(SHIFT, dtype=torch.float32)
    towards_target = along > along.median()  # both err on half of the source
    good = inputs_with(towards_target, source, target)
    bad = inputs_with(~towards_target, source, target)
    assert validators[name](good) > validators[name](bad) + 0.01


def test_normalised_weights_are_shares_of_the_largest_around_one():
    source, target = gaussians(400, 400)
    inputs = inputs_with(source[:, 0] > 0, source, target)
    weights = importance_weights(inputs)
    shares = weights / weights.max()
    losses = np.where(source[:, 0].numpy() > 0, np.log1p(np.exp(-2.2)), np.log1p(np.exp(2.2)))
    expected = -np.mean((shares + (1 - shares.mean())) * losses)
    assert validators["dev_normalised"](inputs) == pytest.approx(expected, rel=1e-5)
