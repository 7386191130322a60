"""UCB-Norm on activations of a known mixture: initialisation, tracking, recovery."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from dacbn.norms import UCBNorm

ASSIGNS = ["channel", "position", "sample"]


def array(tensor):
    return tensor.detach().double().numpy()


def planted(count, generator):
    """Draw from .3 N(-2, .3^2) + .7 N(2, .6^2)."""
    rare = torch.rand(count, generator=generator) < 0.3
    noise = torch.randn(count, generator=generator)
    return torch.where(rare, -2 + 0.3 * noise, 2 + 0.6 * noise)


@pytest.mark.parametrize("assign", ASSIGNS)
def test_em_recovers_a_planted_mixture_as_sklearn_does(assign):
    generator, layer = torch.Generator().manual_seed(1), UCBNorm(1, 2, assign=assign)
    batches = [planted(2000, generator).reshape(-1, 1, 1) for _ in range(400)]
    for batch in batches:
        trained = layer(batch)
    order = layer.running.mean[:, 0].argsort()
    found = [getattr(layer.running, name)[order, 0] for name in ("prior", "mean", "var")]
    found[2] = found[2].sqrt()
    for value, truth in zip(found, [(0.3, 0.7), (-2.0, 2.0), (0.3, 0.6)], strict=True):
        torch.testing.assert_close(value, torch.tensor(truth), rtol=0.05, atol=0)

    theirs = GaussianMixture(2, random_state=0).fit(torch.cat(batches[-20:]).reshape(-1, 1))
    order = theirs.means_[:, 0].argsort()
    fitted = (theirs.weights_, theirs.means_[:, 0], theirs.covariances_[:, 0, 0] ** 0.5)
    for value, other in zip(found, fitted, strict=True):
        np.testing.assert_allclose(value, other[order], rtol=0.05)

    # Where the running mixture has converged, evaluation is training.
    assert (layer.eval()(batches[-1]) - trained).abs().max() < 0.2
    assert (layer(batches[-1]) - trained).abs().mean() < 0.06  # the sampling error of 600 draws


@pytest.mark.parametrize(("prior_scale", "std"), [(False, 1.0), (True, 2**0.5)])
def test_the_output_has_unit_variance_and_sqrt_two_with_the_published_factor(prior_scale, std):
    generator, layer = torch.Generator().manual_seed(1), UCBNorm(1, 2, prior_scale=prior_scale)
    for _ in range(400):
        y = layer(planted(2000, generator)[:, None])
    assert y.std().item() == pytest.approx(std, rel=0.03)
    assert layer.eval()(planted(2000, generator)[:, None]).std().item() == pytest.approx(
        std, rel=0.05
    )


def test_each_component_is_standardised_in_training():
    x = torch.cat([torch.randn(500) * 0.1 - 10, torch.randn(500) + 10])[:, None]
    layer = UCBNorm(1, 2)
    for _ in range(1000):  # the components start close together and have to separate
        y = layer(x)
    for part in (y[:500], y[500:]):
        assert part.mean().abs() < 1e-3
        assert part.std(correction=0).item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_components_start_evenly_around_the_mean_of_each_channel(clusters):
    x = torch.randn(50, 3, 4) * 2 + 7
    layer = UCBNorm(3, clusters, update="learned")
    layer(x)
    rows = array(x.transpose(1, 2).reshape(-1, 3))
    steps = 0.3 * (2 * (np.arange(clusters) + 0.5) / clusters - 1)
    means = rows.mean(0) + steps[:, None] * rows.std(0)
    np.testing.assert_allclose(array(layer.learned.mean), means, rtol=1e-5)
    wanted = np.broadcast_to(rows.var(0), means.shape)
    np.testing.assert_allclose(array(layer.learned.var), wanted, rtol=1e-4)


def test_the_first_batch_is_normalised_nearly_as_by_batch_norm():
    x = torch.randn(200, 4) * 3 + 5
    ours, theirs = UCBNorm(4, 3)(x), torch.nn.BatchNorm1d(4)(x)
    assert (ours - theirs).abs().mean() < 0.1


@pytest.mark.parametrize("assign", ["position", "sample"])
def test_a_shared_mixture_starts_in_different_groups(assign):
    groups = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 9.0]])
    x = groups.repeat(10, 1)[:, :, None] + 0.1 * torch.randn(30, 2, 4)
    layer = UCBNorm(2, 3, assign=assign)
    layer(x)
    distance = (layer.running.mean[:, None] - groups).norm(dim=2)
    assert sorted(distance.argmin(1).tolist()) == [0, 1, 2]


def test_a_component_without_data_stays_where_it_is():
    layer = UCBNorm(1, 2)
    layer.running.set_components(torch.tensor([[0.0], [1e3]]), torch.ones(2, 1))
    x = torch.randn(64, 1, requires_grad=True)
    for _ in range(200):
        y = layer(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    torch.testing.assert_close(layer.running.mean[1], torch.tensor([1e3]))
    torch.testing.assert_close(layer.running.var[1], torch.tensor([1.0]))
    assert layer.running.prior[1] < 1e-3
    alone = ((x - x.mean()) / x.std(correction=0)).detach()
    torch.testing.assert_close(y.detach(), alone, atol=1e-4, rtol=1e-4)


def test_a_component_that_lost_its_data_can_win_them_back():
    layer = UCBNorm(1, 2)
    layer.running.set_components(torch.tensor([[0.0], [20.0]]), torch.ones(2, 1))
    for _ in range(200):
        layer(torch.randn(64, 1))
    for _ in range(50):
        layer(torch.randn(64, 1) + 20)
    assert layer.running.prior[1] > 0.9
    assert layer.running.mean[1].item() == pytest.approx(20, abs=0.3)


@pytest.mark.parametrize("column", [0, 13, 31])
def test_placement_sees_every_column_of_large_maps(column):
    x = 0.1 * torch.randn(128, 2, 32, 32)
    x[..., column] += 10
    layer = UCBNorm(2, 2, assign="position")
    layer(x)
    assert layer.running.mean[:, 0].sort().values.tolist() == pytest.approx([0, 10], abs=1)


@pytest.mark.parametrize("assign", ASSIGNS)
def test_placement_waits_for_a_batch_with_something_for_every_component(assign):
    layer = UCBNorm(2, 4, assign=assign)
    layer(torch.randn(3, 2, 1))
    assert layer.running.uninitialised
    layer(torch.randn(6, 2, 1))
    assert not layer.running.uninitialised
    assert len(layer.running.mean.unique(dim=0)) == 4
