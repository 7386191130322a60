"""Steps of a stream in C agree with those in torch, in float64."""

import copy

import pytest
import torch
from torch import nn

from dacbn.norms import StreamUCBNorm, UnMixNorm, following
from dacbn.norms.mixture.kernels.lines import find_line_kernel
from dacbn.norms.mixture.kernels.stream import step_in_c

pytestmark = pytest.mark.skipif(
    isinstance(find_line_kernel(torch.float32), str), reason="no kernel on this machine"
)
CASES = [
    (StreamUCBNorm, {"num_clusters": 4, "rate": 0.3, "spread": 0.01, "back": 0.05}),
    (StreamUCBNorm, {"num_clusters": 1}),
    (StreamUCBNorm, {"num_clusters": 11, "affine": False}),
    (UnMixNorm, {"num_clusters": 4, "rate": 0.3}),
    (UnMixNorm, {"num_clusters": 1}),
    (UnMixNorm, {"num_clusters": 17, "affine": False}),
]


def pair(kind, options, channels=37):
    """A layer in the place of a trained BatchNorm, and a copy of it in float64."""
    batch_norm = nn.BatchNorm2d(channels)
    for _ in range(3):
        batch_norm(torch.randn(32, channels, 4, 4) * 2 + 1)
    nn.init.uniform_(batch_norm.weight, -2, 2), nn.init.uniform_(batch_norm.bias, -2, 2)
    layer = kind.from_batch_norm(batch_norm, **options).eval()
    return layer, copy.deepcopy(layer).double()


def agree(layer, twin, tolerance=2e-5):
    for (name, held), exact in zip(layer.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(held.to(exact), exact, rtol=tolerance, atol=tolerance, msg=name)


@pytest.fixture
def steps(monkeypatch):
    """The activations that compiled code has taken."""
    taken = []

    def counted(*arguments):
        y = step_in_c(*arguments)
        taken.extend([] if y is None else [arguments[1]])
        return y

    monkeypatch.setattr("dacbn.norms.stream_ucb_norm.step_in_c", counted)
    monkeypatch.setattr("dacbn.norms.unmix_norm.step_in_c", counted)
    return taken


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("channels", [1, 37, 64])
def test_a_stream_is_that_of_torch(kind, options, channels, steps):
    torch.manual_seed(0)
    layer, twin = pair(kind, options, channels)
    form = (torch.contiguous_format, torch.channels_last)
    for number, count in enumerate((8, 1, 1, 64, 3)):
        x = torch.randn(count, channels, 3, 5) * 1.5 + 2 * torch.randn(count, channels, 1, 1)
        x = x.contiguous(memory_format=form[number % 2])
        with torch.no_grad(), following(layer), following(twin):
            y, exact = layer(x), twin(x.double())
        assert y.stride() == x.stride()
        torch.testing.assert_close(y.double(), exact, rtol=1e-4, atol=1e-4)
        agree(layer, twin)
    assert len(steps) == 5


@pytest.mark.parametrize(("kind", "options"), [CASES[0], CASES[3]])
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_numbers_that_are_not_finite_move_what_they_move_in_torch(kind, options, bad, steps):
    layer, twin = pair(kind, options)
    x = torch.randn(4, 37, 6)
    x[1, 3, 2] = bad
    with torch.no_grad(), following(layer), following(twin):
        layer(x), twin(x.double())
    agree(layer, twin)
    assert steps and all(held.isfinite().all() for held in layer.buffers())


@pytest.mark.parametrize(("kind", "options"), [CASES[0], CASES[3]])
def test_what_it_cannot_do_is_left_to_torch(kind, options, steps):
    layer, _ = pair(kind, options, 4)
    with following(layer):
        layer(torch.randn(3, 4, 5))[0].sum().backward()  # weight and bias learn
        with torch.no_grad():
            layer(torch.randn(1, 4, 1)), layer(torch.empty(0, 4, 5))
            layer(torch.randn(3, 4, 5).half())
            layer.double()(torch.randn(3, 4, 5).double())
    assert not steps


@pytest.mark.parametrize(("kind", "options"), [CASES[0], CASES[3]])
def test_it_takes_views_and_half_precision_and_counts_changes(kind, options, steps):
    layer, twin = pair(kind, options, 4)
    moved = [held for name, held in layer.named_buffers() if name.endswith(("mean", "offset"))]
    versions = [held._version for held in moved]
    with torch.no_grad(), following(layer), following(twin):
        for x in (torch.randn(5, 8, 4)[:, ::2], torch.randn(8, 4, 6).bfloat16()):
            y = layer(x)
            torch.testing.assert_close(y.double(), twin(x.double()), rtol=2e-2, atol=2e-2)
    assert len(steps) == 2 and y.dtype is torch.bfloat16
    assert any(held._version > before for held, before in zip(moved, versions, strict=True))
