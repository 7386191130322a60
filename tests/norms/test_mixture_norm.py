"""Mixture normalisation against its equations, BatchNorm, UCB-Norm and scikit-learn."""

import em_reference as reference
import numpy as np
import pytest
import torch
from one_component import check_one_component
from sklearn.mixture import GaussianMixture
from torch import nn

from dacbn.norms import MixtureNorm, UCBNorm
from dacbn.norms.mixture_norm import some_positions

PARTS = ("prior", "mean", "var")


def array(tensor):
    return tensor.detach().double().numpy()


def state_of(layer):
    return tuple(array(getattr(layer.running, part)) for part in PARTS)


def in_a_random_state(**options):
    """Return a layer of 3 channels and components whose mixture and affine are not as made."""
    layer = MixtureNorm(3, momentum=0.3, **options)
    layer.running.set_components(3 * torch.rand(3, 3) - 1, torch.rand(3, 3) + 0.5)
    layer.running.prior.copy_(torch.tensor([[0.2], [0.5], [0.3]]))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
        layer.bias.copy_(torch.tensor([0.5, 1.0, -1.0]))
    return layer


def planted(count=600, seed=0):
    """Draw vectors (count, 2) of three modes far apart, and say which: shares .2, .3 and .5."""
    generator = torch.Generator().manual_seed(seed)
    mode = torch.multinomial(torch.tensor([0.2, 0.3, 0.5]), count, True, generator=generator)
    mean = torch.tensor([[-6.0, 0.0], [0.0, 7.0], [6.0, -3.0]])[mode]
    std = torch.tensor([[0.2, 0.5], [1.0, 0.3], [0.6, 1.2]])[mode]
    return mean + std * torch.randn(count, 2, generator=generator), mode


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("prior_scale", [True, False])
def test_training_follows_the_equations(steps, prior_scale):
    layer = in_a_random_state(em_steps=steps, prior_scale=prior_scale)
    for _ in range(2):
        x = torch.randn(8, 3, 8) * 1.5 + 0.5
        wanted, state = reference.trained(
            array(x), state_of(layer), layer.eps, steps, 0.3, prior_scale
        )
        affine = [array(value)[:, None] for value in (layer.weight, layer.bias)]
        found = array(layer(x))
        np.testing.assert_allclose(found, wanted * affine[0] + affine[1], rtol=1e-3, atol=1e-3)
        for part, value in zip(PARTS, state, strict=True):
            found = array(getattr(layer.running, part))
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prior_scale", [True, False])
def test_evaluation_follows_the_equations(prior_scale):
    layer, x = in_a_random_state(prior_scale=prior_scale, eps=0.1).eval(), torch.randn(4, 3, 5)
    wanted = reference.normalised(array(x), state_of(layer), layer.eps, prior_scale)
    affine = [array(value)[:, None] for value in (layer.weight, layer.bias)]
    np.testing.assert_allclose(array(layer(x)), wanted * affine[0] + affine[1], rtol=1e-4)


def test_a_batch_of_few_positions_is_assigned_by_the_running_mixture():
    layer, x = in_a_random_state(), torch.randn(59, 3, 1)
    wanted, _ = reference.trained(array(x), state_of(layer), layer.eps, 0, 0.3, True)
    affine = [array(value)[:, None] for value in (layer.weight, layer.bias)]
    np.testing.assert_allclose(
        array(layer(x)), wanted * affine[0] + affine[1], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("prior_scale", [True, False])
def test_evaluation_is_that_of_ucb_norm_with_the_same_mixture(prior_scale):
    ours, x = in_a_random_state(prior_scale=prior_scale).eval(), torch.randn(4, 3, 5, 2)
    theirs = UCBNorm(3, assign="position", prior_scale=prior_scale).eval()
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("shape", [(25, 5), (8, 5, 7), (4, 5, 6, 7), (3, 5, 2, 3, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_one_cluster_is_batch_norm(shape, training):
    check_one_component(MixtureNorm(5, num_clusters=1, momentum=0.3), shape, training)


def test_the_fit_is_sklearns():
    x, _ = planted()
    layer = MixtureNorm(2, em_steps=50, eps=1e-3)
    layer.running.init_from_batch(x[..., None])
    start = state_of(layer)
    theirs = GaussianMixture(
        3,
        covariance_type="diag",
        weights_init=np.full(3, 1 / 3),
        means_init=start[1],
        precisions_init=1 / (start[2] + 1e-3),
        reg_covar=1e-3,
        tol=1e-9,
    ).fit(array(x))
    prior, mean, var = (array(value) for value in layer.fit(x[..., None]))
    np.testing.assert_allclose(prior[:, 0], theirs.weights_, rtol=1e-4)
    np.testing.assert_allclose(mean, theirs.means_, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(var + 1e-3, theirs.covariances_, rtol=1e-3)
    posterior = layer.posterior(x[..., None], *layer.fit(x[..., None]))[:, :, 0, 0].T
    np.testing.assert_allclose(array(posterior), theirs.predict_proba(array(x)), atol=1e-4)


@pytest.mark.parametrize(("prior_scale", "std"), [(True, 3**0.5), (False, 1.0)])
def test_separate_modes_have_the_second_moment_k_or_one_without_the_published_factor(
    prior_scale, std
):
    layer = MixtureNorm(2, momentum=0.3, prior_scale=prior_scale)
    for seed in range(40):
        y = layer(planted(seed=seed)[0])
    unseen = layer.eval()(planted(seed=99)[0])
    for output, error in ((y, 0.01), (unseen, 0.1)):
        root = output.detach().square().mean(0).sqrt()
        np.testing.assert_allclose(root, std, rtol=error)


@pytest.mark.parametrize(
    ("layer", "within"),
    [
        (MixtureNorm(2, momentum=0.3, prior_scale=False), 0.15),
        (UCBNorm(2, momentum=0.3, assign="position"), 0.15),
        (nn.BatchNorm1d(2, momentum=0.3), None),
    ],
)
def test_every_planted_mode_comes_out_standardised_where_batch_norm_leaves_them_apart(
    layer, within
):
    for seed in range(40):
        layer(planted(seed=seed)[0])
    x, mode = planted(seed=99)
    y = layer.eval()(x)
    means = torch.stack([y[mode == k].mean(0) for k in range(3)])
    stds = torch.stack([y[mode == k].std(0) for k in range(3)])
    if within is None:
        assert means.abs().max() > 1.2 and stds.max() < 0.4 and stds.max() / stds.min() > 3
    else:
        assert means.abs().max() < within and (stds - 1).abs().max() < within


def test_the_posterior_is_a_constant_to_the_gradient():
    layer, x = MixtureNorm(3, affine=False).double(), torch.randn(30, 3, 4).double()
    layer(x)
    weights = layer.posterior(x, *layer.fit(x))[:, :, 0]
    grads = []
    for ours in (True, False):
        mine = x.clone().requires_grad_()
        y = layer(mine) if ours else by_hand(mine, weights, layer.eps)
        grads.append(torch.autograd.grad((y**3).sum(), mine)[0])
    assert weights.amax(0).min() < 0.9
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-3)


def by_hand(x, weights, eps):
    y = 0
    for w in weights[:, :, None]:
        mean = (w * x).sum((0, 2)) / w.sum()
        var = (w * (x - mean[:, None]) ** 2).sum((0, 2)) / w.sum()
        y = y + w / w.mean().sqrt() * (x - mean[:, None]) / (var[:, None] + eps).sqrt()
    return y


def test_gradients_are_those_of_finite_differences_where_the_modes_are_apart():
    x = (planted(60)[0][:, :, None]).double().requires_grad_()
    layer = MixtureNorm(2).double()
    for seed in range(20):
        layer(planted(seed=seed)[0].double())
    buffers = {name: value.clone() for name, value in layer.named_buffers()}

    def forward(x, *_):
        for name, value in layer.named_buffers():  # training moved them
            value.copy_(buffers[name])
        return layer(x)

    assert torch.autograd.gradcheck(forward, (x, *layer.parameters()), fast_mode=True, atol=1e-4)


def test_no_component_is_narrower_than_three_per_cent_of_the_data():
    narrow = torch.linspace(-1e-3, 1e-3, 100) - 5
    x = torch.cat([narrow, torch.linspace(4, 6, 100)])[:, None].requires_grad_()
    layer = MixtureNorm(1, 2, prior_scale=False, em_steps=20)
    y = layer(x)
    floor = 1e-3 * x.detach().var(correction=0)
    wanted = (narrow + 5) / (floor + layer.eps).sqrt()
    torch.testing.assert_close(y[:100, 0].detach(), wanted, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(y[100:].std(correction=0).item(), 1.0, rtol=1e-3, atol=0)


@pytest.mark.parametrize("shape", [(128, 2, 1024), (73, 2, 3136), (20000, 2, 1)])
def test_a_large_batch_is_fitted_on_positions_from_all_over_the_map(shape):
    side = int(shape[2] ** 0.5)
    place = torch.arange(shape[2]).expand(shape[0], -1).float()
    x = torch.stack([place // side, place % side], 1)
    rows = some_positions(x, 4096)
    assert 3000 < len(rows) <= 4096 and rows.shape[1:] == (2, 1)
    for coordinate in rows[..., 0].T:
        assert len(coordinate.unique()) == side


def test_a_small_batch_is_fitted_on_all_its_positions():
    x = torch.randn(4, 3, 5)
    assert torch.equal(some_positions(x, 20)[..., 0], x.transpose(1, 2).reshape(20, 3))


@pytest.mark.parametrize("clusters", [1, 4])
@pytest.mark.parametrize("prior_scale", [True, False])
def test_the_weight_takes_back_what_the_priors_multiply(clusters, prior_scale):
    theirs = nn.BatchNorm1d(3)
    for _ in range(30):
        theirs(torch.randn(50, 3) * 3 + 5)
    options = {"num_clusters": clusters, "prior_scale": prior_scale}
    x, ours = torch.randn(50, 3) * 3 + 5, MixtureNorm.from_batch_norm(theirs.eval(), **options)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    bare = MixtureNorm.from_batch_norm(theirs, affine=False, **options)
    assert bare.weight is None
    assert torch.equal(bare.running.mean, theirs.running_mean.expand(clusters, -1))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_clusters": 0}, "num_clusters of mixture_norm must be at least 1"),
        ({"em_steps": 0}, "em_steps of mixture_norm must be at least 1, got 0"),
        ({"em_steps": 1.5}, "em_steps of mixture_norm must be a whole number, got 1.5"),
    ],
)
def test_an_option_without_meaning_raises(options, text):
    with pytest.raises(ValueError, match=text):
        MixtureNorm(3, **options)
