"""Controls for mixtures: random assignment, or the assignment of the first batch kept.

Paper: none; they test the claim of Faye, Azzag, Lebbah and Bouchaffra, "Cluster-Based
Normalization Layer for Neural Networks", 2024, https://arxiv.org/abs/2403.16798.

If these gain as much as a mixture, the claim that clusters of activations help is refuted: random
gates test whether the noise of smaller batches explains the gain, frozen gates whether updating the
components adds anything to those of the first batch.
"""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.channel_map import ChannelMap, mixing
from dacbn.norms.contract import Mixture, Norm, norms, trained_statistics
from dacbn.norms.controls.scramble import hash_to_int
from dacbn.norms.mixture.arguments import Affine, in_type
from dacbn.norms.mixture.moments import Assign, mix, weighted_moments
from dacbn.norms.mixture.state import RunningMixture
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm
from dacbn.processes import batch_rows, whole_batch

SHARED_DIMS: dict[Assign, tuple[int, ...]] = {"channel": (), "position": (1,), "sample": (1, 2)}


@norms.register("random_gate_norm")
class RandomGateNorm(Norm, SeenAsBatchNorm):
    """Normalise by random groups of activations: a control for `ucb_norm`.

    Groups come from a deterministic hash: equal values get equal groups, in training and
    evaluation; different values get independent ones.

    Args:
        num_features: channels C.
        num_clusters: groups K; with one, the layer is BatchNorm.
        eps: added to every variance.
        momentum: weight of the newest batch in the running moments.
        affine: learn `weight` and `bias`.
        assign: what is assigned; see `ucb_norm`.

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 3,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        assign: Assign = "channel",
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.num_clusters = num_clusters
        self.assign: Assign = assign
        self.running = RunningMixture(num_clusters, num_features, momentum, assign, False)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        mean, var = in_type(x.dtype, self.running.mean, self.running.var)
        weights = self.assignments(x)
        num_values = values_per_channel(x)
        if self.training and num_values > 1:
            _, mean, var = in_type(x.dtype, *self.running.read_by(x))
            share, mean, var = weighted_moments(x, weights, mean, var)
            self.running.update(share.detach(), mean.detach(), var.detach(), num_values)
        return self.affine(mix(x, weights, mean, var + self.eps))

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map, if all groups are equal."""
        return mixing(self.running, Affine(self.weight, self.bias), self.assign)

    def mixture(self) -> Mixture:
        """Return the groups by which this layer normalises."""
        return self.running.describe(self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Assign activations x (N, C, L) to one group each: (K, N, C, L), or 1 where shared."""
        group = hash_to_int(x.detach(), self.num_clusters, SHARED_DIMS[self.assign])
        groups = torch.arange(self.num_clusters, device=x.device)
        return (groups[:, None, None, None] == group).to(x.dtype)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start every group on a trained BatchNorm's statistics."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            self.running.set_components(*trained)

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, num_clusters={self.num_clusters}, assign={self.assign!r}"


@norms.register("frozen_gate_norm")
class FrozenGateNorm(RandomGateNorm):
    """Normalise by a mixture whose assignment is frozen at its start: a control for `ucb_norm`.

    Which component a value belongs to is decided by a mixture that never changes: that of the first
    batch; after a conversion, around the trained BatchNorm's statistics. The means and variances
    that normalise are updated.

    Args:
        num_features: channels C.
        num_clusters: components K; with one, the layer is BatchNorm.
        eps: added to every variance.
        momentum: weight of the newest batch in the running moments.
        affine: learn `weight` and `bias`.
        assign: what is assigned; see `ucb_norm`.

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 3,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        assign: Assign = "channel",
    ) -> None:
        super().__init__(num_features, num_clusters, eps, momentum, affine, assign)
        self.gate = RunningMixture(num_clusters, num_features, momentum, assign)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L); the first batch with at least K values initialises."""
        num_assigned = batch_rows(x) if self.assign == "sample" else values_per_channel(x)
        if self.training and num_assigned >= self.num_clusters and self.gate.uninitialised:
            with whole_batch(x) as (whole,):
                for mixture in (self.gate, self.running):
                    mixture.init_from_batch(whole.to(mixture.mean))
        return super().normalise(x)

    def mixture(self) -> Mixture:
        """Return the mixture that assigns."""
        return self.gate.describe(self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Compute p(k | x) of activations x (N, C, L): (K, N, C, L), or 1 where shared."""
        return self.gate.posterior(x, self.eps)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start all components on a trained BatchNorm's statistics, as UCB-Norm does."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            for mixture in (self.gate, self.running):
                mixture.inherit(*trained)
