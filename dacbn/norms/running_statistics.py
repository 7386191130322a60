"""What a network's normalisers remember: keep it from changing, forget it, estimate it anew.

All three work on any network, converted or not.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.contract import Norm


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Let forward passes in a `with` block normalise as in training, and forget them after.

    The layers work on copies, and get their own tensors back untouched, which a backward pass may
    still need.

    Example:
        >>> layer = nn.BatchNorm1d(2)
        >>> with frozen_statistics(layer):
        ...     _ = layer(torch.randn(8, 2) + 5)
        >>> layer.running_mean
        tensor([0., 0.])
    """
    kept = [(part, dict(part._buffers), vars(part).get("fresh")) for part in _parts(model)]
    for part, buffers, _ in kept:
        for name, buffer in buffers.items():
            part._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for part, buffers, fresh in kept:
            part._buffers.update(buffers)
            if fresh is not None:
                part.fresh = fresh


@torch.no_grad()
def reset_statistics(model: nn.Module) -> None:
    """Make every normaliser forget the activations it has seen; what is learned stays."""
    for part in reversed(_parts(model)):
        reset = getattr(part, "reset_running_stats", None)
        if reset is not None:
            reset()


@torch.no_grad()
def recalibrate(
    model: nn.Module,
    images: Tensor | Iterable[Tensor],
    cluster_id: int | None = None,
    batch_size: int = 256,
) -> None:
    """Estimate all running statistics anew on images of one domain, as AdaBN does with the target.

    Paper: Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation", 2016,
    https://arxiv.org/abs/1603.04779.
    Differs from the paper: one pass serves all layers, and variances are the mean of those within
    batches. A mixture goes on from its components, so that each follows its own data.

    Only normalisers are in training mode meanwhile; weights stay as they are.

    Args:
        model: a `Network`, or any module that takes images.
        images: all images (N, 3, S, S) or batches of them, as `model` takes them.
        cluster_id: the id of their domain (target 1), if `model` takes cluster ids.
        batch_size: images at a time, where all are given at once.

    Raises:
        ValueError: there are no images.

    Example:
        >>> layer = nn.BatchNorm2d(3)
        >>> recalibrate(layer, torch.full((8, 3, 4, 4), 0.5))
        >>> layer.running_mean
        tensor([0.5000, 0.5000, 0.5000])
    """
    batches = torch.split(images, batch_size) if isinstance(images, Tensor) else images
    parts, modes, seen = _parts(model), _modes(model), 0
    averaging = [part for part in parts if hasattr(part, "momentum")]
    momenta = [part.momentum for part in averaging]
    try:
        model.eval()
        for part in parts:
            part.train()
        for batch in batches:
            seen += len(batch)
            for part in averaging:
                part.momentum = len(batch) / max(seen, 1)  # type: ignore[assignment]
            ids = () if cluster_id is None else (_ids(batch, cluster_id),)
            model(batch, *ids)
    finally:
        for part, momentum in zip(averaging, momenta, strict=True):
            part.momentum = momentum
        for module, mode in modes:
            module.training = mode
    if seen == 0:
        raise ValueError("there are no images to recalibrate on")


def _parts(model: nn.Module) -> list[nn.Module]:
    """Find the normalisers and their parts, each whole before its parts."""
    whole = [layer for layer in model.modules() if isinstance(layer, (Norm, _BatchNorm))]
    return list(dict.fromkeys(part for layer in whole for part in layer.modules()))


def _modes(model: nn.Module) -> list[tuple[nn.Module, bool]]:
    return [(module, module.training) for module in model.modules()]


def _ids(batch: Tensor, cluster_id: int) -> Tensor:
    return torch.full((len(batch),), cluster_id, device=batch.device)
