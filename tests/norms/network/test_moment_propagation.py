"""The moments of layers' outputs, against integrals and samples."""

import kalman_norm_reference as reference
import numpy as np
import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn.utils import parametrize

from dacbn.norms.network.moment_propagation import (
    added,
    affine_moments,
    elementwise_moments,
    layer_moments,
    relu_moments,
    stretch,
)

MEANS = torch.tensor([0.0, 0.3, -0.3, 2.0, -2.0, 5.0, -5.0, 1.0, 30.0])
VARS = torch.tensor([1.0, 0.1, 4.0, 1.0, 1.0, 1.0, 1.0, 1e-3, 0.25])
DRAWS = 2000


def samples(mean, var, *positions):
    """Draw independent Gaussian maps (DRAWS, C, *positions)."""
    per_channel = (1, len(mean), *[1] * len(positions))
    x = torch.randn(DRAWS, len(mean), *positions, dtype=mean.dtype)
    return x * var.sqrt().reshape(per_channel) + mean.reshape(per_channel)


def assert_moments_of(found, values):
    """Check moments (C,) against the sample (DRAWS, C), within five standard errors."""
    mean, var = found
    error = (values - values.mean(0)).square().var(0).sqrt() / DRAWS**0.5
    assert ((values.mean(0) - mean).abs() < 5 * (var / DRAWS).sqrt()).all()
    assert ((values.var(0) - var).abs() < 5 * error).all()


def moments(channels):
    """Return random moments of some channels, in float64."""
    return torch.randn(channels).double(), torch.rand(channels).double() + 0.2


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_relu_has_the_moments_of_its_integral(dtype, rtol):
    found = relu_moments(MEANS.to(dtype), VARS.to(dtype))
    wanted = reference.relu_moments(MEANS.tolist(), VARS.tolist())
    np.testing.assert_allclose(found[0], wanted[0], rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(found[1], wanted[1], rtol=rtol, atol=1e-6)


def test_a_variance_is_never_negative():
    _, spread = relu_moments(torch.linspace(-20, 20, 4001), torch.ones(4001))
    assert spread.min() >= 0


def test_relu_far_from_zero_is_the_identity_or_nothing():
    mean = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0], requires_grad=True)
    var = torch.tensor([1e-2, 1e-2, 0.0, 0.0, 0.0], requires_grad=True)
    centre, spread = relu_moments(mean, var)
    torch.testing.assert_close(centre, torch.tensor([1e4, 0, 1e4, 0, 0]), atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(spread, torch.tensor([1e-2, 0, 0, 0, 0]), atol=1e-7, rtol=1e-3)
    (centre.sum() + spread.sum()).backward()
    assert mean.grad.isfinite().all() and var.grad.isfinite().all()


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.SiLU(), nn.Hardswish(), nn.GELU(), nn.Sigmoid(), nn.LeakyReLU(0.2), nn.ReLU6()),
        *(nn.ELU(), nn.Tanh(), nn.Hardswish(inplace=True)),
    ],
)
def test_an_activation_has_the_moments_of_its_integral(layer):
    found = layer_moments(layer, (MEANS[:6].double(), VARS[:6].double()))
    for c in range(6):
        wanted = reference.gaussian_moments(
            lambda x: layer(torch.tensor(x, dtype=torch.float64)).item(),
            MEANS[c].item(),
            VARS[c].item(),
        )
        np.testing.assert_allclose([value[c] for value in found], wanted, rtol=5e-3, atol=1e-3)


def test_the_rule_is_exact_for_a_square():
    mean, var = moments(5)
    centre, spread = elementwise_moments(torch.square, mean, var)
    torch.testing.assert_close(centre, mean**2 + var, rtol=1e-6, atol=0)
    torch.testing.assert_close(spread, 2 * var**2 + 4 * mean**2 * var, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, padding=1),
        nn.Conv2d(4, 6, (3, 1), groups=2, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2, padding=2, stride=2),
        nn.Conv2d(4, 5, 1),
    ],
)
def test_a_convolution_has_the_moments_of_its_samples_and_its_loop(layer):
    layer, given = layer.double(), moments(4)
    with torch.no_grad():
        found = layer_moments(layer, given)
        y = layer(samples(*given, 6, 6))
        assert_moments_of(found, y[:, :, y.shape[2] // 2, y.shape[3] // 2])
        wanted = reference.conv_moments(layer.weight.numpy(), *given, layer.groups)
        bias = 0 if layer.bias is None else layer.bias.numpy()
    np.testing.assert_allclose(found[0], wanted[0] + bias)
    np.testing.assert_allclose(found[1], wanted[1])


@pytest.mark.parametrize("positions", [(), (3, 2)])
def test_a_linear_layer_after_flattening_has_the_moments_of_its_samples(positions):
    given = moments(4)
    x = samples(*given, *positions).flatten(1)
    layer = nn.Linear(x.shape[1], 5).double()
    with torch.no_grad():
        assert_moments_of(layer_moments(layer, layer_moments(nn.Flatten(), given)), layer(x))


@pytest.mark.parametrize(
    ("layer", "dims"), [(nn.AvgPool2d(2), 2), (nn.AvgPool2d((2, 3)), 2), (nn.AvgPool3d(2), 3)]
)
def test_an_average_has_the_moments_of_its_samples(layer, dims):
    given = moments(4)
    y = layer(samples(*given, *[3] * dims))
    assert_moments_of(layer_moments(layer, given), y.flatten(2)[..., 0])


@pytest.mark.parametrize(
    "layer", [nn.Identity(), nn.Dropout(0.5), nn.MaxPool2d(3), nn.Flatten(), DropPath(0.5)]
)
def test_some_layers_are_said_to_keep_moments(layer):
    given = moments(4)
    assert layer_moments(layer, given) is given


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.Softmax(1), nn.ConvTranspose2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.PReLU()),
        *(nn.Conv2d(3, 4, 1), nn.Linear(6, 4), nn.GroupNorm(2, 4)),
    ],
)
def test_what_is_not_known_or_does_not_fit_has_no_moments(layer):
    assert layer_moments(layer, (torch.zeros(4), torch.ones(4))) is None


def test_maps_of_different_channels_have_no_sum():
    maps = [(torch.zeros(size), torch.ones(size)) for size in (4, 1, 2)]
    assert added(maps[:2]) is None and added(maps[1:]) is None


class Doubled(nn.Module):
    """A map of a weight."""

    def forward(self, weight):
        """Double it."""
        return 2 * weight


class OwnForward(nn.Conv2d):
    """A convolution that does something else with its weight."""

    def forward(self, x):
        """Convolve twice the input."""
        return super().forward(2 * x)


def test_a_mapped_weight_counts_and_an_unknown_convolution_is_not_guessed():
    layer, given = nn.Conv2d(4, 4, 3, bias=False).double(), moments(4)
    plain = affine_moments(layer, *given)
    parametrize.register_parametrization(layer, "weight", Doubled())
    mapped = layer_moments(layer, given)
    torch.testing.assert_close(mapped[0], 2 * plain[0])
    torch.testing.assert_close(mapped[1], 4 * plain[1])
    assert layer_moments(OwnForward(4, 4, 3).double(), given) is None


def test_a_flattened_channel_is_a_run():
    mean, var = stretch((torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])), 6)
    assert mean.tolist() == [1, 1, 1, 2, 2, 2] and var.tolist() == [3, 3, 3, 4, 4, 4]
    assert stretch((mean, var), 7) is None


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.SiLU(), nn.Conv2d(4, 6, 3, groups=2)])
def test_gradients_are_those_of_finite_differences(layer):
    given = [value.requires_grad_() for value in moments(4)]
    assert torch.autograd.gradcheck(
        lambda mean, var: layer_moments(layer.double(), (mean, var)), given
    )
