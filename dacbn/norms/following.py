"""Layers whose statistics follow a stream of images while a trained network predicts it.

Everywhere else a pass in evaluation changes nothing, so that predictions do not depend on those
before them. In `following`, each pass moves the statistics of the layers that follow.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dacbn.norms.mixture.routes import HALF


class FollowsStream:
    """A norm that, in `following`, normalises and moves its statistics by its rule at test time."""

    follows = False


@contextmanager
def following(model: nn.Module) -> Iterator[None]:
    """Let each pass in a `with` block move the statistics of the layers that follow a stream.

    The rule at test time holds in training mode too, so that a method which adapts by gradients
    need not know such layers. Layers without such a rule do as they always do.

    Args:
        model: a network, or a layer.

    Example:
        >>> import torch
        >>> from dacbn.norms import RobustBatchNorm
        >>> layer = RobustBatchNorm(2, rate=0.5).eval()
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
        >>> _ = layer(x)
        >>> layer.running_mean
        tensor([0., 0.])
        >>> with following(layer):
        ...     _ = layer(x)
        >>> layer.running_mean
        tensor([1., 1.])
    """
    layers = [part for part in model.modules() if isinstance(part, FollowsStream)]
    before = [layer.follows for layer in layers]
    for layer in layers:
        layer.follows = True
    try:
        yield
    finally:
        for layer, did in zip(layers, before, strict=True):
            layer.follows = did


def positions(x: Tensor) -> Tensor:
    """View activations (N, C) or (N, C, *) as (N, C, L), in float32 at least."""
    wide = x.float() if x.dtype in HALF else x
    return wide.flatten(2) if x.ndim > 2 else wide.unsqueeze(-1)


@torch.no_grad()
def move(
    statistics: tuple[Tensor, Tensor], newest: tuple[Tensor, Tensor], rate: float | Tensor
) -> None:
    """Move a mean and a variance, in place, by a rate; not where the newest are not finite."""
    finite = newest[0].isfinite() & newest[1].isfinite()
    for held, value in zip(statistics, newest, strict=True):
        held.lerp_(value.to(held).where(finite, held), rate)
