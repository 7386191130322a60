"""The contract every normaliser keeps, and the registry that names them."""

from inspect import signature
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.mixture.moments import Assign
from dacbn.registry import Registry, check_options


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

    What holds for every subclass, so that one line swaps one for another:

    - input is 2-D to 5-D, (N, C) or (N, C, *), with any number of samples, in any memory format;
    - statistics are computed in float32 or wider, whatever the input; the output has its dtype;
    - `weight` and `bias`, both (C,), are the outermost affine map (None without `affine`);
    - all running state lives in buffers, and `reset_running_stats` forgets it; a `momentum`, where
      there is one, is the weight of the newest batch.

    A subclass writes `normalise`, and `carry_over` if a BatchNorm's statistics mean anything to it.
    Its module's docstring names the paper in a paragraph that begins with "Paper:".

    Args:
        num_features: channels C.
        eps: added to every variance.
        affine: learn `weight` and `bias`.
    """

    needs: ClassVar[tuple[str, ...]] = ()  # for people: "cluster ids", "a traced graph", …
    makes_over: ClassVar[bool] = False  # a conversion draws the whole network anew

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *), and return a tensor like it.

        Raises:
            ValueError: x has another number of dimensions or channels.
        """
        self.check_input(x)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        with torch.autocast(x.device.type, enabled=False):
            y = self.normalise(wide.flatten(2) if x.ndim > 2 else wide.unsqueeze(-1))
            y = self.scale_and_shift(y)
        y = y.reshape(x.shape).to(x.dtype)
        channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        return y.contiguous(memory_format=torch.channels_last) if channels_last else y

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L), float32 or wider; L is 1 for 2-D input."""
        raise NotImplementedError

    def scale_and_shift(self, y: Tensor) -> Tensor:
        """Apply the outer affine map to y of shape (N, C, L)."""
        if self.weight is None or self.bias is None:
            return y
        return torch.addcmul(self.bias[:, None], y, self.weight[:, None])

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
        """Refuse what this layer cannot normalise."""
        if not 2 <= x.ndim <= 5 or x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} expects (N, {self.num_features}) or "
                f"(N, {self.num_features}, *) with at most 5 dimensions, got {tuple(x.shape)}"
            )

    @classmethod
    def from_batch_norm(cls, batch_norm: _BatchNorm, **options: Any) -> Self:
        """Build the layer that takes the place of a BatchNorm, with what it has learned.

        Args:
            batch_norm: the layer to replace.
            options: keyword options of this norm; what is not among them is as in `batch_norm`.

        Raises:
            ValueError: this norm has no such option, or the option must be a number.
        """
        check_options(cls.__name__, cls, options)
        same: dict[str, Any] = {"eps": batch_norm.eps, "affine": batch_norm.affine}
        if "momentum" in signature(cls).parameters and batch_norm.momentum is not None:
            same["momentum"] = batch_norm.momentum
        layer = cls(batch_norm.num_features, **{**same, **options})
        state = next(iter(batch_norm.state_dict().values()), None)
        if state is not None:
            layer.to(state.device, torch.promote_types(state.dtype, torch.float32))
        with torch.no_grad():
            if layer.weight is not None and layer.bias is not None and batch_norm.affine:
                layer.weight.copy_(batch_norm.weight)
                layer.bias.copy_(batch_norm.bias)
            layer.carry_over(batch_norm)
        return layer.train(batch_norm.training)

    def carry_over(self, batch_norm: _BatchNorm) -> None:
        """Take over running statistics; called without gradients, after the affine is copied."""

    def reset_running_stats(self) -> None:
        """Forget what was seen; called after the same method of the parts of this layer."""

    @classmethod
    def finish(cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None) -> list[str]:
        """Complete a conversion, for a norm that has to know the network around its layers.

        Args:
            model: the converted network.
            layers: the new layers, by their names in `model`.
            example: images (B, 3, S, S) to try the network with, where the caller has any.

        Returns:
            lines that a person should read in the conversion's report.
        """
        return []

    def extra_repr(self) -> str:
        """Say the sizes that a printed model should show."""
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"


def check_num_clusters(num_clusters: int) -> None:
    """Refuse what is no count of clusters.

    Raises:
        ValueError: not a whole number of at least 1.
    """
    if not isinstance(num_clusters, int) or num_clusters < 1:
        raise ValueError(
            f"num_clusters must be at least 1, and a whole number: got {num_clusters!r}"
        )


def has_statistics(batch_norm: _BatchNorm) -> bool:
    """Whether a BatchNorm has seen data, judged by its values: old checkpoints lack the count."""
    mean, var = batch_norm.running_mean, batch_norm.running_var
    return mean is not None and var is not None and bool((mean != 0).any() or (var != 1).any())


def check_fraction(option: str, value: float) -> None:
    """Refuse what is no fraction.

    Raises:
        ValueError: not a number in [0, 1].
    """
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{option} must be a number in [0, 1], got {value!r}")


norms: Registry[type[Norm]] = Registry("norm")
weights: Registry[type[nn.Module]] = Registry("weight parametrization")
"""Maps of a convolution's weight, as `torch.nn.utils.parametrize` takes them, each built from the
weight it is to map: `weights[name](weight, **options)`."""
