"""Automatic domain alignment layers (AutoDIAL).

Paper: Carlucci, Porzi, Caputo, Ricci and Rota Bulò, "AutoDIAL: Automatic DomaIn Alignment Layers",
ICCV 2017, https://arxiv.org/abs/1704.08082.

Each domain is normalised by the moments of a mixture of the domains, in which it has the share
alpha and the others the rest. The layer learns alpha: at 1 every domain is separate; at its
lowest, one half for two domains, all share one mean and one variance. The mixture's moments are

    mean'_k = sum_j w_kj mean_j,    var'_k = sum_j w_kj (var_j + (mean_j - mean'_k)^2).

Differs from the paper: domains are distinguished by ids, not by position in the batch; with
K of them the lowest alpha is 1 / K, and the others share the rest equally. Running statistics are
those of each domain, mixed in evaluation, so that a new alpha has an immediate effect. Alpha is
clamped when used, and at a border no gradient pushes it further out. A domain with less than two
values per channel in the batch contributes its running statistics.
"""

from typing import Any

import torch
from torch import Tensor, nn

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.by_id.cluster_norm import ClusterBatchNorm
from dacbn.norms.by_id.moments import standardise
from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import norms
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.mixture.routes import is_exported
from dacbn.processes import is_shared
from dacbn.processes.sums import add_up_going_back


@norms.register("auto_dial")
class AutoDIAL(ClusterBatchNorm):
    """Standardise each domain by a learned mixture of its moments and those of the others.

    Args:
        num_features: channels C.
        num_clusters: domains K; 2 for one source and one target.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics of its domains.
        affine: learn `weight` and `bias`, shared by the domains.

    Raises:
        RuntimeError: at a forward without cluster ids.
        ValueError: the ids do not fit the batch, or are outside [0, num_clusters).
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 2,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, num_clusters, eps, momentum, affine)
        self.alpha = nn.Parameter(torch.tensor(1.0))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the mixture of each sample's domain."""
        ids = self.ids_of(x)
        mean, var = mixed_moments(self.shares(), *self.running(x, ids))
        return self.affine(standardise(x, ids, mean, var + self.eps))

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by the mixture of a domain's running statistics and others."""
        cluster = self.cluster_of(cluster_id)
        running = self.running.mean.double(), self.running.var.double()
        mean, var = mixed_moments(self.shares().detach().double(), *running)
        return standardising(mean[cluster], var[cluster], Affine(self.weight, self.bias))

    def shares(self) -> Tensor:
        """Compute the shares of the domains in each domain's mixture: (K, K), rows sum to one."""
        if is_exported():  # a program that is loaded elsewhere has no function of ours
            alpha = self.alpha.clamp(1 / self.num_clusters, 1.0)
        else:
            alpha = _Within.apply(self.alpha, 1 / self.num_clusters)
        own = torch.eye(self.num_clusters, dtype=alpha.dtype, device=alpha.device)
        others = (1 - own) / max(self.num_clusters - 1, 1)
        return alpha * own + (1 - alpha) * others


def mixed_moments(shares: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the means and variances (K, C) of mixtures with shares (K, K) of the domains."""
    # Sums of products, not a matrix product, which a GPU may round to ten bits.
    shares = shares[..., None]
    mixed = (shares * mean).sum(1)
    apart = mean - mixed[:, None]
    return mixed, (shares * (var + apart.square())).sum(1)


class _Within(torch.autograd.Function):
    """Clamp to [low, 1]; at a border, a gradient that points outwards is stopped."""

    generate_vmap_rule = True

    @staticmethod
    def forward(alpha: Tensor, low: float) -> Tensor:
        return alpha.clamp(low, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        alpha, ctx.low = inputs
        ctx.shared = is_shared()
        ctx.save_for_backward(alpha)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (alpha,) = ctx.saved_tensors
        # where it points is decided by the gradient of the whole batch
        whole = add_up_going_back(gradient) if ctx.shared else gradient
        outwards = ((alpha >= 1) & (whole < 0)) | ((alpha <= ctx.low) & (whole > 0))
        return gradient.masked_fill(outwards, 0), None
