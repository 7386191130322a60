"""Controls for mixtures: the same normalisation, with a gate that knows nothing or learns nothing.

Paper: none; they test the claim of Faye, Azzag, Lebbah and Bouchaffra, "Cluster-Based
Normalization Layer for Neural Networks", 2024, https://arxiv.org/abs/2403.16798.

A claim that clusters of activations help is refuted where as much is gained by these: by random
gates, if it is the noise of smaller batches that helps; by frozen gates, if following the
activations adds nothing to where a first batch happened to lie.
"""

from typing import get_args

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.contract import Mixture, Norm, check_num_clusters, has_statistics, norms
from dacbn.norms.controls.scramble import draw
from dacbn.norms.mixture.moments import Assign, mix, weighted_moments
from dacbn.norms.mixture.state import (
    TRAINED_SPREAD,
    RunningMixture,
    describe_mixture,
    gather_around,
    posterior,
)

TOGETHER: dict[Assign, tuple[int, ...]] = {"channel": (), "position": (1,), "sample": (1, 2)}


@norms.register("random_gate_norm")
class RandomGateNorm(Norm):
    """Normalise by groups to which chance assigns the activations: a control for `ucb_norm`.

    What is equal is assigned alike, in training and evaluation; what differs, independently.

    Args:
        num_features: channels C.
        num_clusters: groups K; with one, the layer is BatchNorm.
        eps: added to every variance.
        momentum: weight of the newest batch in the running moments.
        affine: learn `weight` and `bias`.
        assign: what is assigned, see `ucb_norm`.

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: int = 3,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        assign: Assign = "channel",
    ) -> None:
        super().__init__(num_features, eps, affine)
        check_num_clusters(num_clusters)
        if assign not in TOGETHER:
            raise ValueError(f"assign must be one of {', '.join(get_args(Assign))}, got {assign!r}")
        self.num_clusters = num_clusters
        self.assign: Assign = assign
        self.running = RunningMixture(num_clusters, num_features, momentum, assign)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        mean, var = self.running.mean, self.running.var
        weights = self.assignments(x)
        if self.training and x.shape[0] * x.shape[2] > 1:
            share, mean, var = weighted_moments(x, weights, mean, var)
            self.running.update(share.detach(), mean.detach(), var.detach(), x[:, 0].numel())
        return mix(x, weights, mean, var + self.eps)

    def mixture(self) -> Mixture:
        """Return the groups by which this layer normalises."""
        return describe_mixture(self.running, self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Assign activations x (N, C, L) to one group each: (K, N, C, L), or 1 where shared."""
        group = draw(x.detach(), self.num_clusters, TOGETHER[self.assign])
        groups = torch.arange(self.num_clusters, device=x.device)
        return (groups[:, None, None, None] == group).to(x.dtype)

    def carry_over(self, batch_norm: _BatchNorm) -> None:
        """Start every group on a trained BatchNorm's statistics."""
        if has_statistics(batch_norm):
            assert batch_norm.running_mean is not None and batch_norm.running_var is not None
            self.running.set(batch_norm.running_mean, batch_norm.running_var)

    def extra_repr(self) -> str:
        """Say the sizes that a printed model should show."""
        return f"{super().extra_repr()}, num_clusters={self.num_clusters}, assign={self.assign!r}"


@norms.register("frozen_gate_norm")
class FrozenGateNorm(RandomGateNorm):
    """Normalise by a mixture that assigns as its first batch placed it: a control for `ucb_norm`.

    The moments that normalise follow the activations; what assigns them stays.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: int = 3,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        assign: Assign = "channel",
    ) -> None:
        super().__init__(num_features, num_clusters, eps, momentum, affine, assign)
        self.gate = RunningMixture(num_clusters, num_features, momentum, assign)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L); the first batch with something for everyone places."""
        things = len(x) if self.assign == "sample" else x[:, 0].numel()
        if self.training and self.gate.fresh and things >= self.num_clusters:
            for mixture in (self.gate, self.running):
                mixture.place(x.detach().to(mixture.mean))
        return super().normalise(x)

    def mixture(self) -> Mixture:
        """Return the mixture that assigns."""
        return describe_mixture(self.gate, self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Compute p(k | x) of activations x (N, C, L): (K, N, C, L), or 1 where shared."""
        return posterior(self.gate, x, self.eps)

    def carry_over(self, batch_norm: _BatchNorm) -> None:
        """Start all components around a trained BatchNorm's mean, as UCB-Norm does."""
        if has_statistics(batch_norm):
            assert batch_norm.running_mean is not None and batch_norm.running_var is not None
            around = (batch_norm.running_mean, batch_norm.running_var)
            moments = gather_around(*around, self.num_clusters, TRAINED_SPREAD)
            for mixture in (self.gate, self.running):
                mixture.set(*moments)
