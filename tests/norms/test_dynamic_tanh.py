"""Dynamic tanh and its form by the error function, against one value at a time."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import DynamicTanh

ALPHA, SHIFT = 0.7, -0.3
WEIGHT, BIAS = [1.0, -2.0, 0.5, 3.0], [0.5, 1.0, -1.0, 2.0]


def planted(function):
    layer = DynamicTanh(4, function).double()
    layer.load_state_dict(
        {
            "weight": torch.tensor(WEIGHT),
            "bias": torch.tensor(BIAS),
            "alpha": torch.tensor(ALPHA),
            **({"shift": torch.tensor(SHIFT)} if function == "erf" else {}),
        }
    )
    return layer


def by_hand(x, function):
    """Map an array (N, C, L) value by value, with Python's own functions, in float64."""
    y = np.empty_like(x)
    for n, c, l in np.ndindex(x.shape):  # noqa: E741
        if function == "tanh":
            squashed = math.tanh(ALPHA * x[n, c, l])
        else:
            squashed = math.erf(ALPHA * x[n, c, l] + SHIFT)
        y[n, c, l] = WEIGHT[c] * squashed + BIAS[c]
    return y


@pytest.mark.parametrize("function", ["tanh", "erf"])
@pytest.mark.parametrize("training", [True, False])
def test_each_value_is_mapped_by_the_equation(function, training):
    layer, x = planted(function).train(training), torch.randn(3, 4, 5).double() * 3
    found = layer(x).detach().numpy()
    # parameters that are planted in float32 round the equation's numbers
    np.testing.assert_allclose(found, by_hand(x.numpy(), function), rtol=1e-6, atol=1e-6)
    assert torch.autograd.gradcheck(layer, x[:1].requires_grad_())


@pytest.mark.parametrize("function", ["tanh", "erf"])
def test_gradients_of_slope_and_shift_are_finite_differences(function):
    layer, x = planted(function), torch.randn(3, 4, 5).double()
    layer(x).square().sum().backward()
    for name in ("alpha", "shift")[: 1 if function == "tanh" else 2]:
        value = getattr(layer, name)
        sums = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                value.add_(step)
                sums.append(layer(x).square().sum().item())
                value.sub_(step)
        assert value.grad.item() == pytest.approx((sums[0] - sums[1]) / 2e-6, rel=1e-5)


def test_it_starts_as_published():
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(DynamicTanh(4)(x), torch.tanh(0.5 * x))
    torch.testing.assert_close(DynamicTanh(4, "erf")(x), torch.erf(0.5 * x))
    torch.testing.assert_close(DynamicTanh(4, alpha=2, affine=False)(x), torch.tanh(2 * x))
    assert len(list(DynamicTanh(4, "erf").parameters())) == 4


def test_no_value_depends_on_another():
    layer, x = planted("erf"), torch.randn(8, 4, 6).double()
    together = layer(x)
    for sample, place in ((0, 0), (7, 5)):
        alone = layer(x[sample : sample + 1, :, place : place + 1])
        torch.testing.assert_close(alone.flatten(), together[sample, :, place])
    assert not list(layer.buffers())


@pytest.mark.parametrize(
    ("replaces", "old", "shape"),
    [
        ("batch_norm", nn.BatchNorm2d(4), (2, 4, 3, 3)),
        ("layer_norm", nn.LayerNorm(4), (2, 3, 3, 4)),
    ],
)
def test_it_takes_the_place_of_batch_norm_and_of_layer_norm(replaces, old, shape):
    nn.init.uniform_(old.weight, 1, 2), nn.init.uniform_(old.bias, 1, 2)
    model = nn.Sequential(old)
    report = convert_norms(model, "dynamic_tanh(function='erf')", replaces=replaces)
    assert report.carried == ("affine",)
    x = torch.randn(shape)
    channels = 1 if replaces == "batch_norm" else -1
    weight, bias = old.weight, old.bias
    wanted = torch.erf(0.5 * x.movedim(channels, -1)) * weight + bias
    torch.testing.assert_close(model(x).movedim(channels, -1), wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"function": "sigmoid"},
            "function of dynamic_tanh must be one of tanh, erf, got 'sigmoid'",
        ),
        ({"alpha": 0}, "alpha of dynamic_tanh must be positive and finite, got 0"),
        ({"alpha": float("nan")}, "alpha of dynamic_tanh must be a finite number, got nan"),
        ({"alpha": "fast"}, "alpha of dynamic_tanh must be a number, got 'fast'"),
        ({"eps": 0.0}, "eps of dynamic_tanh must be positive and finite, got 0.0"),
    ],
)
def test_meaningless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DynamicTanh(4, **options)
