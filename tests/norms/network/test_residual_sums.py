"""The sums of a network, their skips and the last layers of their other terms."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dacbn.norms import BatchNorm
from dacbn.norms.network.residual_sums import find_sums
from dacbn.norms.network.trace import trace


class Parts(nn.Module):
    """Layers to build small networks from."""

    def __init__(self, forward):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.norm0, self.norm1, self.norm2 = BatchNorm(4), BatchNorm(4), BatchNorm(4)
        self.act, self.drop, self.pool = nn.ReLU(), nn.Identity(), nn.AvgPool2d(1)
        self.scale = nn.Parameter(torch.ones(1))
        self.way = forward

    def forward(self, x):
        """Map x (N, 4, H, W) in the given way."""
        return self.way(self, x)


def branch(net, x):
    return net.norm1(net.conv1(x))


def other(net, x):
    return net.norm2(net.conv2(x))


def shortened(net, x):
    """A branch that ends in a convolution, with the normaliser first."""
    return net.conv1(net.act(net.norm1(x)))


def gated(net, x):
    y = branch(net, x)
    return y * net.conv2(y).sigmoid()


def split(net, x):
    return torch.cat([net.norm1(x)[:, :2], net.norm2(x)[:, 2:]], 1)


def in_place(net, x):
    y = branch(net, x)
    y += x
    return y


def stem(net, x):
    return net.act(net.norm0(x))


def found(forward):
    net = Parts(forward)
    names = {layer: name for name, layer in net.named_modules()}
    sums = find_sums(net, trace(net))
    return [(s.size, s.has_skip, [sorted(names[e] for e in ends) for ends in s.ends]) for s in sums]


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: x + branch(net, x),
        lambda net, x: branch(net, x) + x,
        lambda net, x: torch.add(x, net.drop(branch(net, x))),
        lambda net, x: branch(net, x).add_(x),
        lambda net, x: net.drop(x) + branch(net, x),
        lambda net, x: net.pool(x) + net.act(branch(net, x)),
        lambda net, x: gated(net, x) + x,
        lambda net, x: F.relu(branch(net, x) + 3 * x),
        lambda net, x: net.scale + x + branch(net, x) + 3,
        in_place,
    ],
)
def test_a_branch_around_a_skip_is_found_with_its_last_normaliser(forward):
    assert found(lambda net, x: forward(net, stem(net, x))) == [(2, True, [["norm1"]])]


def test_without_a_skip_all_terms_are_ends():
    two = found(lambda net, x: branch(net, x) + other(net, x))
    assert two == [(2, False, [["norm1"], ["norm2"]])]
    three = found(lambda net, x: net.drop(branch(net, x) + other(net, x)) + net.norm0(x))
    assert three == [(3, False, [["norm1"], ["norm2"], ["norm0"]])]


def test_a_branch_without_a_last_normaliser_ends_in_its_convolution():
    assert found(lambda net, x: x + shortened(net, x)) == [(2, True, [["conv1"]])]


def test_a_branch_may_end_in_several():
    assert found(lambda net, x: x + split(net, x)) == [(2, True, [["norm1", "norm2"]])]


def test_a_sum_used_twice_is_a_skip_of_the_next():
    def forward(net, x):
        y = x + branch(net, x)
        return y + other(net, y)

    assert found(forward) == [(2, True, [["norm1"]]), (2, True, [["norm2"]])]


def test_a_term_of_no_layer_has_no_end():
    assert found(lambda net, x: x * 2 + branch(net, x)) == [(2, True, [["norm1"]])]
    assert found(lambda net, x: x.sin() * x.cos() + branch(net, x)) == [(2, False, [[], ["norm1"]])]


def test_nor_has_a_term_that_is_made_of_a_sum():
    def forward(net, x):
        y = x + branch(net, x)
        return y * y.sin() + other(net, x)

    assert found(forward) == [(2, True, [["norm1"]]), (2, False, [[], ["norm2"]])]


def test_numbers_and_parameters_make_no_sum():
    assert found(lambda net, x: branch(net, x) + 1 + net.scale) == []
