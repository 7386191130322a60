"""UCB-Norm against its equations, its gradients, and under permutations."""

import copy

import mixture_norm_reference as reference
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.mixture import GaussianMixture

from dacbn.norms import UCBNorm

UPDATES = ["em", "learned", "hybrid"]
ASSIGNS = ["channel", "position", "sample"]


def in_a_random_state(update, assign, features=3, clusters=3, seed=0, **options):
    """Return a placed layer whose mixtures, shares and affine all differ from their defaults."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(shape, generator=generator)

    layer = UCBNorm(
        features, num_clusters=clusters, update=update, assign=assign, momentum=0.3, **options
    )
    shares = features if assign == "channel" else 1
    with torch.no_grad():
        for mixture in (layer.running, layer.learned):
            if mixture is not None:
                mixture.set_components(
                    3 * draw(clusters, features) - 1, draw(clusters, features) + 0.5
                )
        if layer.running is not None:
            layer.running.prior.copy_((draw(clusters, shares) + 0.2).log().softmax(0))
        if layer.learned is not None:
            layer.learned.logits.copy_(2 * draw(clusters, shares))
        if layer.weight is not None:
            layer.weight.copy_(draw(features) + 0.5)
            layer.bias.copy_(draw(features))
    return layer


def array(tensor):
    return tensor.detach().double().numpy()


def states_of(layer):
    """Return the gate's and the running (prior, mean, var) in float64, from the raw tensors."""
    running = learned = None
    if layer.running is not None:
        running = tuple(array(getattr(layer.running, name)) for name in ("prior", "mean", "var"))
    if layer.learned is not None:
        logits, raw = array(layer.learned.logits), array(layer.learned.raw_var)
        prior = np.exp(logits) / np.exp(logits).sum(0)
        learned = (prior, array(layer.learned.mean), np.log1p(np.exp(raw)) + 1e-5)
    return (running if learned is None else learned), running


def expected(layer, x, training):
    """Return the output before the affine and the running state after it."""
    gate, running = states_of(layer)
    prior, mean, var = gate
    weights = reference.posterior(x, prior, mean, var + layer.eps, layer.assign)
    statistics = gate if running is None else running
    after = running
    if training and running is not None:
        share, *statistics = reference.moments(x, weights)
        count = x.shape[0] * x.shape[2]
        after = reference.moved(running, share, *statistics, count, layer.running.momentum)
    mean, var = statistics[-2:]
    y = reference.mixed(x, weights, prior, mean, var, layer.eps, layer.prior_scale)
    weight, bias = array(layer.weight)[:, None], array(layer.bias)[:, None]
    return y * weight + bias, after


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("assign", ASSIGNS)
@pytest.mark.parametrize("prior_scale", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_running_state_follow_the_equations(update, assign, prior_scale, training):
    layer = in_a_random_state(update, assign, prior_scale=prior_scale).train(training)
    for _ in range(2):
        x = torch.randn(4, 3, 5) * 1.5 + 0.5
        wanted, state = expected(layer, array(x), training)
        np.testing.assert_allclose(array(layer(x)), wanted, rtol=2e-4, atol=2e-4)
        if state is not None:
            for name, value in zip(("prior", "mean", "var"), state, strict=True):
                found = array(getattr(layer.running, name))
                np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("assign", ASSIGNS)
def test_responsibilities_follow_bayes(assign):
    layer, x = in_a_random_state("em", assign), torch.randn(4, 3, 5)
    prior, mean, var = states_of(layer)[0]
    wanted = reference.posterior(array(x), prior, mean, var + layer.eps, assign)
    found = array(layer.assignments(x).expand(3, *x.shape))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("assign", ASSIGNS)
def test_nll_follows_the_equations(update, assign):
    layer, x = in_a_random_state(update, assign), torch.randn(4, 3, 5)
    prior, mean, var = states_of(layer)[0]
    wanted = reference.negative_log_likelihood(array(x), prior, mean, var + layer.eps, assign)
    assert layer.nll(x).item() == pytest.approx(wanted, rel=1e-4)


def test_nll_is_the_score_that_sklearn_gives_the_same_mixture():
    layer = in_a_random_state("em", "position", features=4)
    x = torch.randn(200, 4)
    theirs = GaussianMixture(3, covariance_type="diag")
    theirs.weights_ = array(layer.running.prior[:, 0])
    theirs.means_ = array(layer.running.mean)
    theirs.precisions_cholesky_ = (array(layer.running.var) + layer.eps) ** -0.5
    assert layer.nll(x).item() == pytest.approx(-theirs.score(array(x)), rel=1e-4)


def test_nll_gradient_reaches_every_learned_parameter():
    layer = in_a_random_state("learned", "channel")
    layer.nll(torch.randn(20, 3)).backward()
    for name in ("logits", "mean", "raw_var"):
        assert getattr(layer.learned, name).grad.abs().min() > 0


@pytest.mark.parametrize("assign", ASSIGNS)
@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_responsibilities_sum_to_one_however_far_out(assign, size):
    layer = in_a_random_state("em", assign)
    x = torch.linspace(-size, size, 60).reshape(4, 3, 5)
    torch.testing.assert_close(layer.assignments(x).sum(0).min(), torch.tensor(1.0))
    torch.testing.assert_close(layer.assignments(x).sum(0).max(), torch.tensor(1.0))


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("assign", ASSIGNS)
@pytest.mark.parametrize("prior_scale", [False, True])
def test_gradients_of_training_are_those_of_finite_differences(update, assign, prior_scale):
    layer = in_a_random_state(update, assign, 2, 2, prior_scale=prior_scale).double()
    buffers = {name: value.clone() for name, value in layer.named_buffers()}
    parameters = list(layer.parameters())

    def forward(x, *_):
        for name, value in layer.named_buffers():  # training moved them
            value.copy_(buffers[name])
        return layer(x)

    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(forward, (x, *parameters))


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("assign", ASSIGNS)
@pytest.mark.parametrize("training", [True, False])
def test_the_order_of_the_components_does_not_matter(update, assign, training):
    layer = in_a_random_state(update, assign, prior_scale=True).train(training)
    other, order = copy.deepcopy(layer), torch.tensor([2, 0, 1])
    with torch.no_grad():
        for mixture in (other.running, other.learned):
            for value in [] if mixture is None else [*mixture.parameters(), *mixture.buffers()]:
                if value.ndim:
                    value.copy_(value[order])
    x = torch.randn(4, 3, 5)
    torch.testing.assert_close(other(x), layer(x))
    if layer.running is not None:
        torch.testing.assert_close(other.running.mean, layer.running.mean[order])


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("assign", ASSIGNS)
@pytest.mark.parametrize("clusters", [1, 3])
@pytest.mark.parametrize("batches", [0, 1])
def test_a_layer_from_disk_goes_on_as_if_never_saved(tmp_path, update, assign, clusters, batches):
    def new():
        return UCBNorm(3, clusters, update=update, assign=assign)

    layer, loaded = new(), new()
    loaded(torch.randn(9, 3) * 100)  # what it learned must not survive the loading
    for _ in range(batches):
        layer(torch.randn(8, 3))
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    loaded.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    for _ in range(2):
        x = torch.randn(8, 3) + 5
        assert torch.equal(loaded(x), layer(x))
    assert torch.equal(loaded.eval()(x), layer.eval()(x))


def test_two_forwards_before_one_backward_give_both_gradients():
    """Running state moves between the two, which must not disturb what backward reads."""
    layer, x = in_a_random_state("hybrid", "channel"), torch.randn(4, 3, 5, requires_grad=True)
    (layer(x).square().sum() + layer(x + 1).square().sum()).backward()
    assert x.grad.isfinite().all()


def test_responsibilities_carry_gradient_of_the_gate_in_hybrid_only_through_learning():
    layer = in_a_random_state("hybrid", "channel")
    layer(torch.randn(8, 3)).square().sum().backward()
    assert layer.learned.mean.grad.abs().max() > 0
    assert not any(buffer.requires_grad for buffer in layer.buffers())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"update": "sgd"}, "update of ucb_norm must be one of em, learned, hybrid"),
        ({"assign": "batch"}, "assign of ucb_norm must be one of channel, position, sample"),
        ({"num_clusters": 0}, "num_clusters of ucb_norm must be at least 1"),
        ({"num_clusters": 2.5}, "a whole number, got 2.5"),
    ],
)
def test_an_option_without_meaning_raises(options, text):
    with pytest.raises(ValueError, match=text):
        UCBNorm(3, **options)
