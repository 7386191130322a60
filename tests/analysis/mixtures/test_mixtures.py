"""The comparison with scikit-learn, on planted mixtures, against its own scores."""

import numpy as np
import pytest
import torch
from planted_activations import BRIGHT, DARK, OneNorm, planted_subject, two_modes
from sklearn.mixture import GaussianMixture
from torch import nn

from dacbn.analysis.mixtures.compute import (
    VARIANCE_FLOOR,
    compute_mixtures,
    fit_mixture,
    match_components,
    mean_log_likelihood,
)
from dacbn.analysis.mixtures.section import draw_mixtures
from dacbn.analysis.observe.assignments import Mixture
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import TensorImages


def as_sklearn(prior, mean, var):
    """A GaussianMixture that holds given parameters, (K,), (K, D) and (K, D)."""
    model = GaussianMixture(len(prior), covariance_type="diag")
    model.weights_, model.means_, model.covariances_ = prior, mean, var
    model.precisions_cholesky_ = var**-0.5
    return model


def random_mixture(assign, clusters=3, channels=4):
    generator = torch.Generator().manual_seed(0)
    groups = channels if assign == "channel" else 1
    prior = torch.rand(clusters, groups, generator=generator).double() + 0.1
    mean = torch.randn(clusters, channels, generator=generator).double()
    var = torch.rand(clusters, channels, generator=generator).double() + 0.1
    return Mixture(prior / prior.sum(0), mean, var, assign)


@pytest.mark.parametrize("assign", ["channel", "position", "sample"])
def test_likelihood_is_scikit_learns_score(assign):
    mixture = random_mixture(assign)
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)).double()
    prior, mean, var = (value.numpy() for value in mixture[:3])
    if assign == "channel":
        expected = [
            as_sklearn(prior[:, c], mean[:, [c]], var[:, [c]]).score(rows[:, [c]]) for c in range(4)
        ]
    else:
        expected = [as_sklearn(prior[:, 0], mean, var).score(rows.numpy()) / 4]
    assert mean_log_likelihood(mixture, rows).tolist() == pytest.approx(expected)


def test_a_fit_is_scikit_learns():
    rows = torch.randn(300, 2, generator=torch.Generator().manual_seed(2)).double()
    joint = fit_mixture(rows, 2, "position", seed=3)
    model = GaussianMixture(
        2, covariance_type="diag", reg_covar=VARIANCE_FLOOR, random_state=3
    ).fit(rows)
    assert np.allclose(joint.mean, model.means_) and np.allclose(joint.var, model.covariances_)
    channel = fit_mixture(rows, 2, "channel", seed=3)
    model = GaussianMixture(2, covariance_type="diag", reg_covar=VARIANCE_FLOOR, random_state=3)
    model.fit(rows[:, [1]])
    assert np.allclose(channel.mean[:, 1], model.means_[:, 0])
    assert np.allclose(channel.prior[:, 1], model.weights_)


@pytest.mark.parametrize("assign", ["channel", "position"])
def test_components_are_matched_whatever_their_order(assign):
    mixture = random_mixture(assign)
    order = torch.tensor([2, 0, 1])
    shuffled = Mixture(*(value[order] for value in mixture[:3]), assign)
    for found, expected in zip(match_components(mixture, shuffled)[:3], mixture[:3], strict=True):
        assert torch.equal(found, expected)


def noisy_subject(norm, images=60):
    """Images drawn from two Gaussians of brightness, 0.2 and 0.8 with deviation 0.04."""
    random = np.random.default_rng(0)
    samples = {}
    for number, name in enumerate(("source", "target")):
        centre = np.where(np.arange(images) % 2, BRIGHT, DARK)[:, None, None, None]
        pixels = (centre + random.normal(0, 10.2, (images, 3, 6, 6))).round().clip(0, 255)
        samples[name] = Sample(TensorImages(torch.from_numpy(pixels.astype(np.uint8))), number)
    return Subject("noisy", OneNorm(norm), samples, ("a", "b"))


@pytest.mark.parametrize("assign", ["channel", "position", "sample"])
def test_a_layer_that_has_learned_the_truth_is_as_good_as_scikit_learn(assign):
    norm = two_modes(assign)
    norm.running.var.fill_(0.0016)
    fit = compute_mixtures(record(noisy_subject(norm)))["norm"]
    assert abs(fit.advantage) < 0.02
    assert fit.ari == pytest.approx(1) and fit.nmi == pytest.approx(1)
    assert (fit.preferred == 2).all()
    assert torch.allclose(fit.fitted.mean, fit.layer.mean, atol=0.02)
    # Gaussians of deviation s in two modes of equal share: entropy ln 2 + ln(s sqrt(2 pi e))
    alone = -np.log(0.04 * np.sqrt(2 * np.pi * np.e))
    expected = alone - np.log(2) / (1 if assign == "channel" else 3)
    assert fit.likelihood == pytest.approx(expected, abs=0.05)


def test_a_collapsed_layer_is_said_to_fit_worse_and_by_how_much(tmp_path):
    norm = two_modes("channel")
    norm.running.set_components(torch.full((2, 3), 0.5), torch.full((2, 3), 0.09))
    section = draw_mixtures(noisy_subject(norm), tmp_path)
    fit = compute_mixtures(record(noisy_subject(norm)))["norm"]
    assert fit.advantage > 0.5
    first, second = section.findings
    assert f"fits better by {fit.advantage:.2f}" in first and "agree by ARI 0.00" in first
    assert second == "norm: BIC prefers 2 components in 3 of 3 channels; the layer has 2."
    assert section.figures[0].stat().st_size > 5000
    with np.load(tmp_path / "mixtures_beside_sklearn.npz") as arrays:
        assert arrays["norm/bic"].shape == (3, 8)


def test_the_criterion_of_the_layer_is_scikit_learns_formula():
    norm = two_modes("position")
    fit = compute_mixtures(record(noisy_subject(norm)))["norm"]
    same = fit.layer_bic - fit.bic[:, 1]
    gain = 2 * (fit.likelihood[:, 1] - fit.likelihood[:, 0]) * fit.held_out.size
    assert same == pytest.approx(gain, rel=0.1)


def test_images_that_are_compared_on_were_not_fitted_to():
    subject = noisy_subject(two_modes("channel"), images=8)
    subject.samples["source"].images.pixels.zero_()
    recording = record(subject)
    rows = recording.layers["norm"]["source"].inputs
    rows[1::2] = 1.0
    fit = compute_mixtures(recording)["norm"]
    assert set(np.unique(fit.held_out[: len(fit.held_out) // 2])) == {1.0}


def test_too_few_activations_and_no_mixture_are_refused():
    with pytest.raises(ValueError, match="8 activations are too few to fit to: at least 100"):
        compute_mixtures(record(planted_subject([1, 2], [3, 4], side=2, noise=1)))
    with pytest.raises(ValueError, match="no layer of this network has a mixture"):
        compute_mixtures(record(planted_subject([1, 2], [3, 4], nn.BatchNorm2d(3))))
