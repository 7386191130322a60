"""Kalman normalisation: a batch's moments fused with those its network predicts."""

import copy

import kalman_norm_reference as reference
import numpy as np
import pytest
import timm
import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import KalmanNorm, frozen_statistics, recalibrate


def plain_network(channels=4):
    """Build norm, ReLU, convolution, norm, with affine maps of their own."""
    network = nn.Sequential(
        nn.Conv2d(3, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 5, 3, padding=1),
        nn.BatchNorm2d(5),
    ).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def converted(network=None, **options):
    network = network or plain_network()
    convert_norms(network, "kalman_norm", **options)
    return network.double()


def predictions(network):
    """Predict both norms of the plain network by the slow way."""
    first, norm, _, second, _ = network
    weights = [layer.weight.detach().numpy() for layer in (first, norm, second)]
    standardised = np.zeros(3), np.ones(3)
    before = reference.conv_moments(weights[0], *standardised)
    hidden = reference.relu_moments(norm.bias.detach().numpy(), weights[1] ** 2)
    mean, var = reference.conv_moments(weights[2], *hidden)
    return before, (mean + second.bias.detach().numpy(), var)


@pytest.mark.parametrize("gain", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("shape", [(3, 3, 4, 4), (1, 3, 1, 1)])
def test_training_normalises_by_the_posterior(gain, shape):
    network = converted(gain=gain, eps=0.02, momentum=0.3)
    wanted = predictions(network)
    x = torch.randn(shape).double()
    for index, prediction in zip((1, 4), wanted, strict=True):
        given = network[:index](x).detach()
        flat = given.flatten(2).numpy()
        norm = copy.deepcopy(network[index])
        mean, var, kept = reference.posterior(prediction, flat, gain)
        expected = reference.normalised(flat, mean, var, 0.02)
        affine = [value.detach().numpy()[:, None] for value in (norm.weight, norm.bias)]
        expected = expected * affine[0] + affine[1]
        np.testing.assert_allclose(norm(given).flatten(2).detach(), expected, rtol=1e-6)
        np.testing.assert_allclose(norm.running_mean, 0.3 * mean, rtol=1e-6)
        np.testing.assert_allclose(norm.running_var, 0.7 + 0.3 * kept, rtol=1e-6)
        assert norm.num_batches_tracked == 1


def test_evaluation_normalises_by_the_running_statistics():
    network, x = converted(), torch.randn(4, 3, 4, 4).double()
    for _ in range(3):
        network(x)
    norm, given = network[4].eval(), torch.randn(2, 5, 3, 3).double()
    flat = given.flatten(2).numpy()
    expected = reference.normalised(flat, norm.running_mean.numpy(), norm.running_var.numpy(), 1e-5)
    affine = [value.detach().numpy()[:, None] for value in (norm.weight, norm.bias)]
    found = norm(given).flatten(2).detach()
    np.testing.assert_allclose(found, expected * affine[0] + affine[1], rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_gain_one_is_batch_norm_throughout_a_network(training):
    theirs = timm.create_model("resnet18", num_classes=3).train(training)
    ours = copy.deepcopy(theirs)
    convert_norms(ours, KalmanNorm, gain=1)
    x = torch.randn(4, 3, 32, 32)
    for network in (theirs, ours):
        network(x).square().sum().backward()
    state = ours.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in theirs.state_dict().items())
    for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 3, 3), (1, 4)])
def test_a_layer_without_a_network_is_batch_norm(shape):
    ours, theirs, x = KalmanNorm(4), nn.BatchNorm2d(4), torch.randn(shape)
    if x.numel() == 4:
        theirs.eval()  # the fall-back where a variance says nothing
    expected = theirs(x[..., None, None] if x.ndim == 2 else x).reshape(shape)
    torch.testing.assert_close(ours(x), expected)
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[key])


def test_no_gain_normalises_by_the_prediction_alone():
    network = converted(gain=0)
    mean, var = predictions(network)[1]
    found = network[4](torch.tensor(mean)[None, :, None, None] + 2).detach()
    expected = 2 / np.sqrt(var + 1e-5)
    weight, bias = (value.detach().numpy() for value in (network[4].weight, network[4].bias))
    np.testing.assert_allclose(found.flatten(), expected * weight + bias, rtol=1e-6)


def test_one_image_trains_where_the_network_predicts():
    network = converted()
    found = [network(torch.randn(1, 3, 1, 1).double()) for _ in range(2)]
    assert (found[0] - found[1]).abs().min() > 0  # its signal is not divided away
    found[0].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_an_empty_batch_leaves_the_statistics_alone():
    network = converted()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network[4](torch.randn(0, 5, 2, 2).double())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_prediction_hands_gradients_to_the_parameters_before():
    network = converted()
    given = torch.randn(4, 5, 3, 3).double()
    (network[4](given) ** 3).sum().backward()
    for index in (1, 3):
        for parameter in network[index].parameters():
            assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0
    assert network[0].weight.grad is None  # behind a norm nothing matters


def test_gradients_are_those_of_finite_differences():
    network, x = converted(gain=0.3), torch.randn(2, 3, 2, 2).double().requires_grad_()
    names = [name for name, _ in network.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in network.parameters()]

    def call(x, *values):
        with frozen_statistics(network):
            return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *values), fast_mode=True)


def test_branches_that_start_at_zero_stay_finite():
    network = timm.create_model("resnet18", num_classes=3, zero_init_last=True)
    convert_norms(network, "kalman_norm")
    with torch.no_grad():
        network.bn1.weight.zero_()  # the variance predicted from here on is 0
    network(torch.randn(1, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert network(torch.randn(2, 3, 32, 32)).isfinite().all()


def test_recalibration_follows_the_posterior_on_new_images():
    network = converted()
    fixed = network[4].running_mean.clone()
    recalibrate(network, torch.randn(64, 3, 4, 4).double() * 3 + 2, batch_size=4)
    assert (network[4].running_mean - fixed).abs().min() > 0
    assert network[4].num_batches_tracked == 16


@pytest.mark.parametrize("gain", [-0.1, 1.1, "a"])
def test_a_gain_that_is_no_fraction_raises(gain):
    with pytest.raises(
        ValueError, match=r"gain of kalman_norm must be (in \[0, 1\]|a number), got"
    ):
        KalmanNorm(4, gain=gain)


def test_an_unknown_transition_names_the_known_ones():
    with pytest.raises(ValueError, match="one of moments, learned, got 'sampled'"):
        KalmanNorm(4, transition="sampled")


def test_a_printed_layer_shows_its_choices():
    assert "gain=0.25, transition='learned'" in repr(KalmanNorm(4, gain=0.25, transition="learned"))
