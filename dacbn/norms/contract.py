"""The contract of every normaliser, and the registry that names them."""

from enum import StrEnum
from inspect import signature
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from dacbn.limits import Positive
from dacbn.norms.channel_map import ChannelMap, NoChannelMapError
from dacbn.norms.construction import takes_device_and_dtype
from dacbn.norms.mixture.moments import Assign
from dacbn.norms.mixture.routes import (
    HALF,
    is_exported,
    is_transformed,
    refuse_script,
    traced_as_one,
    without_autocast,
)
from dacbn.norms.seen_as_batch_norm import restart_average
from dacbn.registry import Registry, check_options


class Need(StrEnum):
    """Inputs that a layer needs besides activations; the values are shown by `dacbn list`."""

    CLUSTER_IDS = "cluster ids"
    TRACED_GRAPH = "a traced graph"


class Mixture(NamedTuple):
    """The clusters that a layer finds, K of them, as analyses read them; float64, detached.

    Attributes:
        prior: share of each cluster, (K, C), or (K, 1) where all channels are assigned together.
        mean: (K, C).
        var: (K, C), the layer's eps included.
        assign: what is assigned; see `dacbn.norms.mixture.moments.log_joint`.
    """

    prior: Tensor
    mean: Tensor
    var: Tensor
    assign: Assign

    def take(self, channels: Tensor) -> "Mixture":
        """Return the mixture of some channels, given by their indices."""
        prior = self.prior[:, channels] if self.assign == "channel" else self.prior
        return Mixture(prior, self.mean[:, channels], self.var[:, channels], self.assign)


class Norm(nn.Module):
    """A layer that normalises activations and then scales and shifts each channel.

    Every subclass keeps these rules, so that any can replace any other:

    - input is 2-D to 5-D, (N, C) or (N, C, *), with any number of samples, in any memory format;
    - statistics are computed in float32 or float64; the output has the dtype of the input;
    - `weight` and `bias`, both (C,), are the outermost affine map (None without `affine`);
    - every constructor also takes `device` and `dtype`, by name, as those of torch's layers do;
    - all running state is in buffers, and `reset_running_stats` restores its start; a `momentum`,
      where there is one, is the weight of the newest batch.

    A subclass implements `normalise`, and `load_batch_norm` if it can use a BatchNorm's statistics.
    One that finds clusters implements `mixture` and `assignments`. One that in evaluation is an
    affine map per channel implements `evaluation_map`; others name in `evaluates` what they do. The
    docstring of its module names the paper in a paragraph that begins with "Paper:".

    Args:
        num_features: channels C.
        eps: added to every variance.
        affine: learn `weight` and `bias`.
    """

    needs: ClassVar[tuple[Need, ...]] = ()
    rebuilds_network: ClassVar[bool] = False  # a conversion re-initialises all weights
    # over a batch, a channel of the output has mean `bias` and variance `weight` squared
    standardises_channels: ClassVar[bool] = False
    always_by_batch: ClassVar[bool] = False  # evaluation normalises by the batch too
    evaluates: ClassVar[str] = "normalises each sample by its own moments"  # if it is no affine map
    __prepare_scriptable__ = refuse_script
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]  # of the constructor
    statistics_frozen = False  # training normalises as evaluation does; see `set_statistics`

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = takes_device_and_dtype(cls.__init__)  # type: ignore[method-assign]

    @takes_device_and_dtype
    def __init__(self, num_features: int, eps: Positive = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a layer whose statistics are frozen stays in that of evaluation."""
        return super().train(mode and not self.statistics_frozen)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *), and return a tensor like it.

        Raises:
            ValueError: x has another number of dimensions or channels.
        """
        if isinstance(x, fx.Proxy):
            return traced_as_one(self, x)
        self.check_input(x)
        wide = x.float() if x.dtype in HALF else x
        with without_autocast(x):
            y = self.normalise(wide.flatten(2) if x.ndim > 2 else wide.unsqueeze(-1))
        return laid_out_like(x, y.reshape(x.shape).to(x.dtype))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L), float32 or float64, and return the final output.

        L is 1 for 2-D input. The affine map is part of it: `return self.affine(y)`.
        """
        raise NotImplementedError

    def affine(self, y: Tensor) -> Tensor:
        """Scale and shift the channels of y (N, C, L) by `weight` and `bias`, if there are any."""
        if self.weight is None or self.bias is None:
            return y
        weight, bias = self.weight.to(y.dtype), self.bias.to(y.dtype)
        return torch.addcmul(bias[:, None], y, weight[:, None])

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the affine map per channel that this layer is in evaluation.

        Args:
            cluster_id: the cluster of all samples, for layers that receive ids.

        Raises:
            NoChannelMapError: it is none: its map depends on the input, or mixes channels.
            ValueError: there is no such cluster.
        """
        raise NoChannelMapError(self.evaluates)

    def mixture(self) -> Mixture | None:
        """Return the clusters that this layer finds in activations; None if it finds none."""
        return None

    def assignments(self, x: Tensor) -> Tensor:
        """Compute to what degree activations belong to each cluster of `mixture()`.

        Args:
            x: (N, C, L), as `normalise` gets it.

        Returns:
            (K, N, C, L), with size 1 where values are assigned together; sums to one over K.
        """
        raise NotImplementedError(f"{type(self).__name__} finds no clusters")

    def check_input(self, x: Tensor) -> None:
        """Check the number of dimensions and channels.

        Raises:
            TypeError: x holds no real floating-point numbers, which the output would be cut to.
            ValueError: x has another number of them.
        """
        if torch._C._get_tracing_state():  # in which the comparisons of sizes would be recorded
            return
        if not x.is_floating_point():
            raise TypeError(
                f"{type(self).__name__} expects floating-point numbers, got {x.dtype}: "
                "convert them by .float()"
            )
        if not 2 <= x.ndim <= 5 or x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} expects (N, {self.num_features}) or "
                f"(N, {self.num_features}, *) with at most 5 dimensions, got {tuple(x.shape)}"
            )

    @classmethod
    def from_batch_norm(cls, batch_norm: _BatchNorm, **options: Any) -> Self:
        """Build the layer that replaces a BatchNorm, with its affine map and statistics.

        Args:
            batch_norm: the layer to replace.
            options: keyword options of this norm. `eps`, `affine` and `momentum` are those of
                `batch_norm` unless given.

        Raises:
            ValueError: this norm has no such option, or the option no such value.
        """
        check_options(cls.__name__, cls, options, num_fixed=1)
        same: dict[str, Any] = {"eps": batch_norm.eps, "affine": batch_norm.affine}
        if "momentum" in signature(cls).parameters and batch_norm.momentum is not None:
            same["momentum"] = batch_norm.momentum
        layer = cls(batch_norm.num_features, **{**same, **options})
        state = next(iter(batch_norm.state_dict().values()), None)
        if state is not None:
            layer.to(state.device, torch.promote_types(state.dtype, torch.float32))
        with torch.no_grad():
            if layer.weight is not None and layer.bias is not None and batch_norm.affine:
                for ours, theirs in (
                    (layer.weight, batch_norm.weight),
                    (layer.bias, batch_norm.bias),
                ):
                    if theirs is not None:  # a BatchNorm may have no bias
                        ours.copy_(theirs)
                        ours.requires_grad_(theirs.requires_grad)
            layer.load_batch_norm(batch_norm)
        return layer.train(batch_norm.training)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load running statistics; called without gradients, after the affine map is copied."""

    def reset_running_stats(self) -> None:
        """Restore the initial statistics; submodules have been reset already."""
        restart_average(self)

    def reset_parameters(self) -> None:
        """Restore the parameters and statistics of a new layer, as after `to_empty`.

        Raises:
            RuntimeError: a conversion has given this layer parameters that a new one does not have.
        """
        arguments, options = self._arguments
        new = type(self)(*arguments, **options).state_dict()
        if missing := self.load_state_dict(new, strict=False).missing_keys:
            raise RuntimeError(
                f"{', '.join(missing)} of {type(self).__name__} depend on the network: convert it "
                "after its values are there, and not on the meta device"
            )

    @classmethod
    def after_conversion(
        cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None
    ) -> list[str]:
        """Complete a conversion; override in norms that need the surrounding network.

        Args:
            model: the converted network.
            layers: the new layers, by their names in `model`.
            example: images (B, 3, S, S) to run the network on, if given.

        Returns:
            notes for the conversion's report, a line each.
        """
        return []

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"


CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def laid_out_like(x: Tensor, y: Tensor) -> Tensor:
    """Return y, of x's shape, with channels last in memory if those of x are."""
    form = CHANNELS_LAST.get(x.ndim)
    if form is None or is_transformed() or is_exported() or not x.is_contiguous(memory_format=form):
        return y
    return y.contiguous(memory_format=form)


class HasStatistics(Protocol):
    """A BatchNorm, torch's or ours."""

    @property
    def running_mean(self) -> Tensor | None:
        """(C,), or None."""

    @property
    def running_var(self) -> Tensor | None:
        """(C,), or None."""


def trained_statistics(layer: HasStatistics) -> tuple[Tensor, Tensor] | None:
    """Return the running mean and variance (C,) of a BatchNorm; None if it is untrained.

    Their values decide, because old checkpoints lack the count of batches.
    """
    mean, var = layer.running_mean, layer.running_var
    if mean is None or var is None or mean.is_meta:
        return None
    if not bool((mean != 0).any() or (var != 1).any()):
        return None
    return mean, var


norms: Registry[type[Norm]] = Registry("norm", "dacbn.norms")
weights: Registry[type[nn.Module]] = Registry("weight parametrization", "dacbn.norms")
"""Parametrizations of a convolution's weight for `torch.nn.utils.parametrize`, each built from the
weight that it will map: `weights[name](weight, **options)`."""


def is_normaliser(layer: nn.Module) -> bool:
    """Whether a layer normalises activations: one of this package, or one of torch or timm."""
    return isinstance(layer, (Norm, _NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm))
