"""Mode normalisation against its equations, BatchNorm, and groups that are known."""

import mode_norm_reference as reference
import numpy as np
import pytest
import torch
from one_component import check_one_component
from torch import nn

from dacbn.norms import BatchNorm, ModeNorm

PARTS = ("prior", "mean", "var")


def array(tensor):
    return tensor.detach().double().numpy()


def state_of(layer):
    return tuple(array(getattr(layer.running, part)) for part in PARTS)


def in_a_random_state(features=3, modes=3, **options):
    """Return a layer whose gate, running moments and affine are not as made."""
    layer = ModeNorm(features, num_clusters=modes, momentum=0.3, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape))
        layer.running.set_components(
            torch.randn(modes, features), torch.rand(modes, features) + 0.5
        )
        layer.running.prior.copy_(torch.rand(modes, 1).softmax(0))
    return layer


def gate_by_sign(layer, sharpness=100.0):
    """Let the sign of the first channel's mean decide between two modes, all or nothing."""
    with torch.no_grad():
        layer.gate.weight.zero_(), layer.gate.bias.zero_()
        layer.gate.weight[1, 0] = sharpness
    return layer


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 2, 3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_outputs_and_running_state_follow_the_equations(shape, training, eps):
    layer = in_a_random_state(eps=eps).train(training)
    gate = array(layer.gate.weight), array(layer.gate.bias)
    weight, bias = array(layer.weight)[:, None], array(layer.bias)[:, None]
    for _ in range(2):
        x = torch.randn(shape) * 1.5 + 0.5
        flat, state = array(x).reshape(*shape[:2], -1), state_of(layer)
        degrees = reference.assigned(flat, *gate)
        if training:
            wanted, state = reference.by_batch(flat, degrees, state, eps, momentum=0.3)
        else:
            wanted = reference.by_running(flat, degrees, state, eps)
        found = array(layer(x)).reshape(flat.shape)
        np.testing.assert_allclose(found, wanted * weight + bias, rtol=1e-3, atol=1e-3)
        for found, value in zip(state_of(layer), state, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(25, 5), (8, 5, 7), (4, 5, 6, 7), (3, 5, 2, 3, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_one_mode_is_batch_norm(shape, training):
    check_one_component(ModeNorm(5, num_clusters=1, momentum=0.3), shape, training)


def test_equal_modes_are_batch_norm_whatever_the_gate_says():
    theirs, ours = nn.BatchNorm1d(3).eval(), in_a_random_state().eval()
    with torch.no_grad():
        theirs.running_mean.copy_(torch.randn(3)), theirs.running_var.copy_(torch.rand(3) + 0.5)
        theirs.weight.copy_(ours.weight), theirs.bias.copy_(ours.bias)
        ours.load_batch_norm(theirs)
    x = torch.randn(6, 3)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_gate_that_is_sure_gives_every_group_a_batch_norm_of_its_own():
    layer, x = gate_by_sign(ModeNorm(3)), torch.randn(20, 3, 5)
    x[:, 0] += torch.where(torch.arange(20) % 3 == 0, 8.0, -8.0)[:, None]
    y = layer(x)
    for group in (x[:, 0, 0] > 0, x[:, 0, 0] < 0):
        torch.testing.assert_close(y[group], nn.BatchNorm1d(3)(x[group]), atol=1e-4, rtol=1e-4)


def test_a_mode_without_samples_stays_where_it_is():
    layer = gate_by_sign(ModeNorm(2))
    layer(torch.randn(20, 2) * 0.1 + torch.tensor([[9.0, 0.0], [-9.0, 3.0]]).repeat(10, 1))
    before = layer.running.mean[1].clone(), layer.running.var[1].clone()
    for _ in range(20):
        y = layer(torch.randn(20, 2) - torch.tensor([9.0, 0.0]))
    assert y.isfinite().all()
    torch.testing.assert_close(layer.running.mean[1], before[0])
    torch.testing.assert_close(layer.running.var[1], before[1])
    assert layer.running.mean[0, 0] < -7


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_finite_differences(training):
    layer = in_a_random_state(2, 2).double().train(training)
    buffers = {name: value.clone() for name, value in layer.named_buffers()}

    def forward(x, *_):
        for name, value in layer.named_buffers():  # training moved them
            value.copy_(buffers[name])
        return layer(x)

    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    parameters = list(layer.parameters())
    assert len(parameters) == 4
    assert torch.autograd.gradcheck(forward, (x, *parameters))


@pytest.mark.parametrize("features", [1, 3, 64, 512, 2048])
def test_modes_start_nearly_equal_but_no_two_are(features):
    layer = ModeNorm(features, 4)
    degrees = layer.gate_samples(torch.randn(50, features))
    assert (degrees - 0.25).abs().max() < 0.15
    assert torch.pdist(degrees.T).min() > 0.05
    assert torch.pdist(layer.gate_samples(torch.ones(1, features)).T).max() < 0.15


def test_modes_that_are_equal_would_never_part():
    layer, gradients = ModeNorm(3), []
    x = torch.randn(30, 3, 4) + 3 * torch.randn(30, 1, 1)
    for zero in (False, True):
        if zero:
            nn.init.zeros_(layer.gate.weight)
        (layer(x) ** 3).sum().backward()
        gradients.append(layer.gate.weight.grad.norm().item())
        layer.zero_grad()
    assert gradients[0] > 1e-2 and gradients[1] < 1e-4 * gradients[0]


def test_a_new_layer_draws_no_random_numbers():
    before = torch.get_rng_state()
    ModeNorm(5)
    assert torch.equal(torch.get_rng_state(), before)


def two_domains(generator):
    """Draw samples (200, 2, 6) with their classes.

    The first channel tells the domain. The second has the class, but how it differs between domains
    is three times what classes differ by.
    """
    domain, label = torch.randint(0, 2, (2, 200), generator=generator) * 2.0 - 1
    x = 0.5 * torch.randn(200, 2, 6, generator=generator)
    x[:, 0] += 2 * domain[:, None]
    x[:, 1] += 3 * domain[:, None] + label[:, None]
    return x, (label > 0).float()


def accuracy_after_training(layer):
    """Train a threshold on the second channel behind the layer; return what it gets right."""
    generator, head = torch.Generator().manual_seed(1), nn.Linear(1, 1)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.05)

    def logits(x):
        return head(layer(x)[:, 1].mean(1, keepdim=True))[:, 0]

    for _ in range(100):
        x, label = two_domains(generator)
        loss = nn.functional.binary_cross_entropy_with_logits(logits(x), label)
        optimiser.zero_grad(), loss.backward(), optimiser.step()
    layer.eval()
    x, label = two_domains(generator)
    return ((logits(x) > 0) == label.bool()).float().mean().item()


def test_the_gate_learns_the_modes_that_the_task_needs():
    assert accuracy_after_training(ModeNorm(2)) > 0.97
    assert accuracy_after_training(BatchNorm(2)) < 0.8


def test_no_modes_are_refused():
    with pytest.raises(ValueError, match="num_clusters of mode_norm must be at least 1"):
        ModeNorm(3, num_clusters=0)
