"""Layers whose statistics follow a stream of images while a trained network predicts it.

Everywhere else a pass in evaluation changes nothing, so that predictions do not depend on those
before them. In `following`, each pass moves the statistics of the layers that follow.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dacbn.norms.mixture.by_sample import draw_line
from dacbn.norms.recomputation import is_recomputation

IMAGES = 64  # that move statistics by the rate of their layer
SEED = 0  # of the noise, so that a layer starts from a source in one way


class FollowsStream:
    """A norm that, in `following`, normalises and moves its statistics by its rule at test time."""

    follows = False


def refuse_recomputation() -> None:
    """Raise if this forward pass repeats one, after which the statistics have moved."""
    if is_recomputation():
        raise RuntimeError(
            "statistics that follow a stream have moved since the pass that a checkpoint repeats: "
            "adapt without checkpoints, such as by model.set_grad_checkpointing(False)"
        )


@contextmanager
def following(model: nn.Module) -> Iterator[None]:
    """Let each pass in a `with` block move the statistics of the layers that follow a stream.

    The rule at test time holds in training mode too, so that a method which adapts by gradients
    need not know such layers. Layers without such a rule do as they always do. Checkpoints of
    activations are refused: a second pass would find statistics that have moved.

    Args:
        model: a network, or a layer.

    Example:
        >>> import torch
        >>> from dacbn.norms import RobustBatchNorm
        >>> layer = RobustBatchNorm(2, rate=1.0).eval()
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
        >>> _ = layer(x)
        >>> layer.running_mean
        tensor([0., 0.])
        >>> with following(layer):
        ...     _ = layer(x)
        >>> layer.running_mean
        tensor([2., 2.])
    """
    layers = [part for part in model.modules() if isinstance(part, FollowsStream)]
    before = [layer.follows for layer in layers]
    for layer in layers:
        vars(layer)["follows"] = True  # a module's own way to set it takes ten times as long
    try:
        yield
    finally:
        for layer, did in zip(layers, before, strict=True):
            vars(layer)["follows"] = did


def weight_of(images: int, rate: float) -> float:
    """Return the weight of a batch of images in statistics that 64 images move by a rate.

    So large and small batches move them by the same amount per image: k batches of n images
    weigh as one of k n images.

    Example:
        >>> round(weight_of(64, 0.1), 5), round(weight_of(1, 0.1), 5)
        (0.1, 0.00164)
    """
    kept: float = (1 - rate) ** (images / IMAGES)
    return 1 - kept


def noise(num_clusters: int, num_features: int) -> Tensor:
    """Draw from a standard normal distribution, (K, C), always the same."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(num_clusters, num_features, generator=generator, device="cpu")


@torch.no_grad()
def move(statistics: tuple[Tensor, Tensor], newest: tuple[Tensor, Tensor], weight: float) -> None:
    """Move a mean and a variance, in place; not where the newest are not finite."""
    refuse_recomputation()
    finite = newest[0].isfinite() & newest[1].isfinite()
    for held, value in zip(statistics, newest, strict=True):
        held.lerp_(value.detach().to(held).where(finite, held), weight)


def standardise_samples(
    x: Tensor, mean: Tensor, var: Tensor, affine: tuple[Tensor | None, Tensor | None]
) -> Tensor:
    """Standardise each channel of each sample, then scale and shift.

    Args:
        x: (N, C, L).
        mean: (N, C) or (C,).
        var: likewise, positive.
        affine: weight and bias (C,), or None.
    """
    weight, bias = affine
    slope = var.rsqrt() if weight is None else var.rsqrt() * weight
    shift = -mean * slope if bias is None else bias - mean * slope
    size = x.shape[:2]
    return draw_line(x, slope.to(x.dtype).expand(size), shift.to(x.dtype).expand(size))
