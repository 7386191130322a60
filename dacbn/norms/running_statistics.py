"""Running statistics: the layers that keep them, and freezing or re-estimating them in a network.

`frozen_statistics`, `reset_statistics` and `recalibrate` work on any network, converted or not.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.batch import domain_ids
from dacbn.limits import Fraction, Positive
from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.contract import Norm, trained_statistics
from dacbn.norms.host_value import HostValue
from dacbn.norms.modes import modes_kept
from dacbn.norms.recomputation import is_recomputation
from dacbn.norms.seen_as_batch_norm import COUNT, MOMENTUM, SeenAsBatchNorm, averages_kept

# Functions that fold a BatchNorm into the layer before it, such as torch's `fuse_conv_bn_eval`,
# take whatever has a `running_var`: a layer that in evaluation is no such affine map has none.
HIDDEN_VARIANCE = "running_variance"
HIDDEN_STATISTICS: dict[str, float] = {"running_mean": 0, HIDDEN_VARIANCE: 1, COUNT: 0}


class RunningStatistics(Norm, SeenAsBatchNorm):
    """A norm with one running mean and one running variance (or scale) per channel.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.
    """

    # The buffers, each with the value that it starts from: first the mean, then the variance.
    statistics: ClassVar[dict[str, float]] = {"running_mean": 0, "running_var": 1, COUNT: 0}
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, num_features: int, eps: Positive = 1e-5, momentum: Fraction = 0.1, affine: bool = True
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.momentum = momentum
        for name, start in self.statistics.items():
            per_channel = torch.full((num_features,), float(start))
            self.register_buffer(name, torch.tensor(0) if name == COUNT else per_channel)

    def uses_batch(self, x: Tensor) -> bool:
        """Whether x, (N, C) or (N, C, *), is normalised by its own moments.

        In training it is, unless channels have a single value, whose variance is meaningless.
        """
        return self.training and values_per_channel(x) > 1

    @torch.no_grad()
    def update_statistics(self, **newest: Tensor) -> None:
        """Move running statistics towards those of a batch, (C,) each, given by name.

        A channel whose statistics are not finite stays where it is, and so do all channels when the
        batch is recomputed.
        """
        if is_recomputation():
            return
        finite = torch.stack([*newest.values()]).isfinite().all(0)
        for name, value in newest.items():
            running: Tensor = getattr(self, name)
            running.lerp_(value.to(running).where(finite, running), self.pace)
        if COUNT in self.statistics:
            self.num_batches_tracked.add_(1)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load the running mean and variance."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            for ours, theirs in zip(self.running_moments(), trained, strict=True):
                ours.copy_(theirs)

    def running_moments(self) -> tuple[Tensor, Tensor]:
        """Return the running mean and variance (C,) themselves."""
        mean, var, *_ = (getattr(self, name) for name in self.statistics)
        return mean, var

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """Load; a hidden variance is `running_var` in the files of older versions."""
        old = f"{prefix}running_var"
        if HIDDEN_VARIANCE in self.statistics and old in state:
            state[prefix + HIDDEN_VARIANCE] = state.pop(old)
        super()._load_from_state_dict(state, prefix, *others)

    def reset_running_stats(self) -> None:
        """Restore the initial statistics."""
        super().reset_running_stats()
        for name, start in self.statistics.items():
            self.get_buffer(name).fill_(start)


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Let forward passes in a `with` block normalise as in training, but change no statistics.

    The layers work on copies of their buffers. They get their own tensors back unchanged, because
    a backward pass may still need them.

    Example:
        >>> layer = nn.BatchNorm1d(2)
        >>> with frozen_statistics(layer):
        ...     _ = layer(torch.randn(8, 2) + 5)
        >>> layer.running_mean
        tensor([0., 0.])
    """
    parts = normaliser_parts(model)
    kept = [(part, dict(part._buffers), _host_values(part)) for part in parts]
    for part, buffers, values in kept:
        for name, buffer in buffers.items():
            if buffer is None:
                continue
            part._buffers[name] = buffer.clone()
            for value in values:
                vars(part)[value].follow(buffer, part._buffers[name])
    try:
        with averages_kept(parts):
            yield
    finally:
        for part, buffers, values in kept:
            part._buffers.update(buffers)
            vars(part).update(values)


@torch.no_grad()
def reset_statistics(model: nn.Module) -> None:
    """Restore the initial statistics of every normaliser; learned parameters do not change."""
    for part in reversed(normaliser_parts(model)):
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
    """Re-estimate all running statistics on images of one domain, as AdaBN does on the target.

    Paper: Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation", 2016,
    https://arxiv.org/abs/1603.04779.
    Differs from the paper: one pass estimates all layers, and variances are the mean of those
    within batches. A mixture starts from its current components, so that each follows its own data.

    Only normalisers are in training mode meanwhile; weights do not change.

    Args:
        model: a `Network`, or any module that takes images.
        images: all images (N, 3, S, S) or batches of them, as `model` takes them.
        cluster_id: the id of their domain (target 1), if `model` takes cluster ids.
        batch_size: images at a time, if `images` is one tensor.

    Raises:
        ValueError: there are no images.

    Example:
        >>> layer = nn.BatchNorm2d(3)
        >>> recalibrate(layer, torch.full((8, 3, 4, 4), 0.5))
        >>> layer.running_mean
        tensor([0.5000, 0.5000, 0.5000])
    """
    batches = torch.split(images, batch_size) if isinstance(images, Tensor) else images
    seen = 0
    with moving_statistics(model) as weigh:
        for batch in batches:
            seen += len(batch)
            weigh(len(batch) / max(seen, 1))
            ids = () if cluster_id is None else (domain_ids(len(batch), cluster_id, batch.device),)
            model(batch, *ids)
    if seen == 0:
        raise ValueError("there are no images to recalibrate on")


def require_statistics(model: nn.Module) -> None:
    """Check that a network has running statistics, which a network with LayerNorms has not.

    Raises:
        ValueError: it has none.
    """
    moved = [part for part in normaliser_parts(model) if MOMENTUM in vars(part)]
    if all(part._buffers.get("running_mean", part) is None for part in moved):  # torch's without
        raise ValueError(
            "the network has no running statistics to re-estimate: its normalisers go by each "
            "image or batch alone, or have learned theirs. Train it on the target instead, as by "
            "dacbn adapt"
        )


@contextmanager
def moving_statistics(model: nn.Module) -> Iterator[Callable[[float], None]]:
    """Put normalisers alone in training mode in a `with` block, where passes move statistics.

    Yields:
        a function that sets the weight of the newest batch, in [0, 1]. Afterwards modes and momenta
        are what they were.
    """
    parts = normaliser_parts(model)
    averaging: list[Any] = [part for part in parts if MOMENTUM in vars(part)]
    momenta = [vars(part)[MOMENTUM] for part in averaging]
    frozen: list[Any] = [part for part in parts if getattr(part, "statistics_frozen", False)]

    def weigh(newest: float) -> None:
        for part in averaging:
            vars(part)[MOMENTUM] = newest  # an assignment would end `momentum = None`

    with modes_kept(model), averages_kept(parts):
        model.eval()
        for part in frozen:
            part.statistics_frozen = False
        for part in parts:
            part.train()
        try:
            yield weigh
        finally:
            for part, momentum in zip(averaging, momenta, strict=True):
                vars(part)[MOMENTUM] = momentum
            for part in frozen:
                part.statistics_frozen = True


def normaliser_parts(model: nn.Module) -> list[nn.Module]:
    """Find the normalisers and their parts, each whole before its parts."""
    whole = [layer for layer in model.modules() if isinstance(layer, (Norm, _BatchNorm))]
    return list(dict.fromkeys(part for layer in whole for part in layer.modules()))


def _host_values(part: nn.Module) -> dict[str, HostValue]:
    return {
        name: value.copy() for name, value in vars(part).items() if isinstance(value, HostValue)
    }
