"""The gain of gradients in a block of convolution, group normalisation and activation.

Let k be the share of the power of activations x that is constant over the positions of a channel
of a sample. A random convolution keeps this share, and normalisation over groups of m channels
removes the part of the constant that the channels of a group have in common. The remaining power,
relative to the total, is 1 - k + k u with u = chi2(m - 1) / m, and the squared norm of a gradient
that is propagated back through the block is multiplied by

    g(m, k) = E[1 / (1 - k + k u)] = integral of exp(-(1 - k) s) (1 + 2 k s / m)^(-(m - 1) / 2) ds

over s > 0, times a factor of the activation that does not depend on the groups (1 for ReLU). So g
is smallest with one group, and 1 / (1 - k) with one channel per group.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dacbn.norms.contract import Norm
from dacbn.norms.modes import modes_kept

MAX_SHARE = 0.99  # the gain of small groups is unbounded as the share approaches 1


def gradient_gain(channels: int, share: float) -> float:
    """Compute the expected gain of a gradient's squared norm through a block.

    Args:
        channels: number of channels m in a group.
        share: share k of the power that is constant over positions, in [0, 1).
    """
    points = 4096
    t = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    s = t / (1 - t)
    log_terms = -(1 - share) * s - (channels - 1) / 2 * torch.log1p(2 * share * s / channels)
    return float((log_terms.exp() / (1 - t).square()).mean())


def constant_share(x: Tensor) -> float:
    """Measure the share of the power of x (N, C, *) that is constant over positions."""
    x = x.detach().float().reshape(x.shape[0], x.shape[1], -1)
    power = x.square().mean().clamp_min(torch.finfo(x.dtype).tiny)
    return min(float(x.mean(2).square().mean() / power), MAX_SHARE)


def measure_shares(
    model: nn.Module, layers: Mapping[str, Norm], images: Tensor
) -> dict[str, float]:
    """Measure `constant_share` of each layer's input, by name, in the order in which layers run."""
    shares: dict[str, float] = {}
    names = {layer: name for name, layer in layers.items()}

    def measure(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shares[names[layer]] = constant_share(inputs[0])  # type: ignore[index]

    handles = [layer.register_forward_pre_hook(measure) for layer in layers.values()]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return shares


def measure_gain(model: nn.Module, first: nn.Module, last: nn.Module, images: Tensor) -> float:
    """Measure how much a random gradient grows from the output of `last` to that of `first`.

    Returns:
        the ratio of its norms.
    """
    outputs: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        outputs[layer] = output
        return output.clone()  # an activation may work in place

    handles = [layer.register_forward_hook(keep) for layer in dict.fromkeys((first, last))]
    try:
        with torch.enable_grad():
            model(images.clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    at_last = noise_like(outputs[last])
    (at_first,) = torch.autograd.grad(outputs[last], outputs[first], at_last)
    return float(at_first.norm() / at_last.norm())


def noise_like(x: Tensor) -> Tensor:
    """Draw standard normal values, the same each time, without using torch's global generator."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)


@contextmanager
def open_branches(model: nn.Module, layers: Mapping[str, Norm]) -> Iterator[None]:
    """Within a block, use evaluation mode, and weight 1 in layers whose weights are all zero.

    Zero weights close residual branches at the start of training.
    """
    weights = [layer.weight for layer in layers.values() if layer.weight is not None]
    closed = [weight for weight in weights if not weight.any()]
    with modes_kept(model):
        try:
            model.eval()
            for weight in closed:
                nn.init.ones_(weight)
            yield
        finally:
            for weight in closed:
                nn.init.zeros_(weight)
