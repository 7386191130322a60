"""Gradient reversal: the identity forwards, -strength times the gradient backwards."""

import pytest
import torch

from dacbn.methods.gradient_reversal import reverse_gradient


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0, 3.0])
def test_the_value_stays_and_the_gradient_is_scaled_and_reversed(strength):
    x, gradient = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    y = reverse_gradient(x, strength)
    assert torch.equal(y, x)
    y.backward(gradient)
    torch.testing.assert_close(x.grad, -strength * gradient)


def test_reversing_twice_is_the_plain_gradient():
    x = torch.randn(3, requires_grad=True)
    reverse_gradient(reverse_gradient(x, 2.0), 0.5).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(3))
