"""Moments of clusters that are known by id: those of a batch, and running ones.

Shapes: x is (N, C, L), with one id per sample, (N,); the mean and variance of K clusters are
(K, C). No tensor is as large as K copies of x.
"""

import torch
from torch import Tensor, nn

from dacbn.norms.recomputation import is_recomputation
from dacbn.processes import is_shared, total


def sums_by_cluster(values: Tensor, ids: Tensor, num_clusters: int) -> Tensor:
    """Add up the samples of each cluster: (N, *) becomes (K, *)."""
    return values.new_zeros(num_clusters, *values.shape[1:]).index_add(0, ids, values)


def gather_by_id(statistic: Tensor, ids: Tensor) -> Tensor:
    """Look up the statistic of each sample's cluster: (K, *) becomes (N, *)."""
    return statistic.index_select(0, ids)


def standardise(x: Tensor, ids: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """Compute (x - mean) / sqrt(var) by the mean and variance of each sample's cluster."""
    return (x - gather_by_id(mean, ids)[..., None]) * gather_by_id(var.rsqrt(), ids)[..., None]


def as_factor(per_cluster: Tensor, statistic: Tensor) -> Tensor:
    """View (K,) so that it broadcasts against a statistic (K, *)."""
    return per_cluster.reshape(-1, *[1] * (statistic.ndim - 1))


class RunningMoments(nn.Module):
    """The mean and variance of each cluster, followed by a moving average.

    A cluster is updated only if the batch has more than one of its values per channel, because one
    value has no variance, and if its moments are finite.

    Args:
        num_clusters: clusters K.
        num_features: channels C.
        momentum: weight of the newest batch.
    """

    mean: Tensor
    var: Tensor
    alike = False  # whether all batches of a cluster weigh the same, instead of by the momentum
    batches: Tensor | int = 0  # of each cluster, (K,), since they do

    def __init__(self, num_clusters: int, num_features: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(num_clusters, num_features))
        self.register_buffer("var", torch.ones(num_clusters, num_features))

    def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance by which to normalise x.

        In training, clusters with more than one value have those of the batch (the variance
        biased), all others the running ones.
        """
        # copies: a later batch may move them before the backward pass
        known = self.mean.to(x.dtype, copy=True), self.var.to(x.dtype, copy=True)
        if not self.training:
            return known
        count, mean, var = self.of_batch(x, ids)
        if not is_recomputation():
            self._follow(count, mean.detach(), var.detach())
        several = count > 1
        return (
            mean.where(as_factor(several, mean), known[0]),
            var.where(as_factor(several, var), known[1]),
        )

    def of_batch(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the values per channel (K,), mean and biased variance of each cluster in x."""
        num_clusters = len(self.mean)
        count = sums_by_cluster(x.new_ones(x.shape[0]), ids, num_clusters) * x.shape[2]
        some = count.clamp_min(1)
        mean = sums_by_cluster(x.sum(2), ids, num_clusters) / some[:, None]
        squares = self.squares(x - gather_by_id(mean, ids)[..., None])
        var = sums_by_cluster(squares, ids, num_clusters)
        return self._of_all_processes(count, mean, var / as_factor(some, var))

    def _of_all_processes(
        self, count: Tensor, mean: Tensor, var: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Merge the moments of the rows of each process to those of the batch."""
        if not is_shared():
            return count, mean, var
        mass, centre = count.double(), mean.double()
        second = var.double() + self.squares(centre[..., None])
        mass, first, second = total(
            mass, as_factor(mass, mean) * centre, as_factor(mass, var) * second
        )
        some = mass.clamp_min(1)
        centre = first / as_factor(some, mean)
        spread = second / as_factor(some, var) - self.squares(centre[..., None])
        return mass.to(count), centre.to(mean), spread.to(var)

    def squares(self, offset: Tensor) -> Tensor:
        """Sum the squares of offsets from the mean (N, C, L) over positions, to (N, C)."""
        return offset.square().sum(2)

    def start(self, mean: Tensor, var: Tensor) -> None:
        """Start every cluster on the same mean and variance, (C,) each."""
        self.mean.copy_(mean)
        self.var.copy_(var)

    def reset_running_stats(self) -> None:
        """Restore the initial statistics."""
        self.start(torch.zeros_like(self.mean[0]), torch.ones_like(self.mean[0]))

    @torch.no_grad()
    def _follow(self, count: Tensor, mean: Tensor, var: Tensor) -> None:
        unbiased = var * as_factor(count / (count - 1).clamp_min(1), var)
        moves = (count > 1) & mean.isfinite().all(1) & var.flatten(1).isfinite().all(1)
        if self.alike:
            seen = self.batches  # no buffer: a network that moves to a device leaves it behind
            self.batches = moves + (seen.to(moves.device) if isinstance(seen, Tensor) else seen)
        for running, newest in ((self.mean, mean), (self.var, unbiased)):
            moved = running.lerp(newest.to(running), self._weight(running))
            running.copy_(moved.where(as_factor(moves, running), running))

    def _weight(self, statistic: Tensor) -> Tensor | float:
        """Return the weight of the newest batch for a statistic (K, *)."""
        if not (self.alike and isinstance(self.batches, Tensor)):
            return self.momentum
        return as_factor(self.batches.clamp_min(1).to(statistic).reciprocal(), statistic)
