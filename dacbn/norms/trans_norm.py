"""Transferable normalisation (TransNorm).

Paper: Wang, Jin, Long, Wang and Jordan, "Transferable Normalization: Towards Improving
Transferability of Deep Neural Networks", NeurIPS 2019,
https://papers.nips.cc/paper/2019/hash/fd2c5e4680d9a01dba3aada5ece22270-Abstract.html.

Each domain is normalised by its own moments, and an affine map shared by the domains gives z. Then
channels in which the domains' means are similar get more weight than the others:

    y = (1 + a_c) * z,   a_c = C / (1 + d_c) / sum_j 1 / (1 + d_j),

where d_c is the distance between mean / sqrt(var + eps) of the two domains. No gradient flows
through a_c. It is 1 on average, so the output is about twice BatchNorm's.

Differs from the paper: domains are distinguished by ids instead of halves of the batch, and the
evaluation takes each sample's own domain; with more than two domains, d_c is the mean distance of
all pairs, with one it is 0. For a domain with less than two values per channel in the batch, d_c
and the normalisation use its running statistics. In training, both use biased variances.
"""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.by_id.cluster_norm import ClusterBatchNorm
from dacbn.norms.by_id.moments import standardise
from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine


@norms.register("trans_norm")
class TransNorm(ClusterBatchNorm):
    """Standardise each domain separately, and re-weight channels by the similarity of the domains.

    Args:
        num_features: channels C.
        num_clusters: domains K; 2 for one source and one target.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics of its domains.
        affine: learn `weight` and `bias`, shared by the domains, before the re-weighting.

    Raises:
        RuntimeError: at a forward without cluster ids.
        ValueError: the ids do not fit the batch, or are outside [0, num_clusters).
    """

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise, scale, shift and re-weight x of shape (N, C, L)."""
        ids = self.ids_of(x)
        mean, var = self.running(x, ids)
        z = self.affine(standardise(x, ids, mean, var + self.eps))
        return z * (1 + agreement(mean, var + self.eps))[:, None]

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by a domain's running statistics, re-weighted."""
        cluster = self.cluster_of(cluster_id)
        mean, var = self.running.mean.double(), self.running.var.double()
        z = standardising(mean[cluster], var[cluster], Affine(self.weight, self.bias))
        weights = 1 + agreement(mean, var + self.eps)
        return z._replace(weight=z.weight * weights, bias=z.bias * weights)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start every domain on a BatchNorm's statistics; weight and bias undo the factor of 2."""
        super().load_batch_norm(batch_norm)
        if trained_statistics(batch_norm) is None or self.weight is None or self.bias is None:
            return
        self.weight.div_(2)
        self.bias.div_(2)


@torch.no_grad()
def agreement(mean: Tensor, var: Tensor) -> Tensor:
    """Compute the similarity of the domains' standardised means, (K, C): (C,), 1 on average."""
    standard = mean * var.rsqrt()
    pairs = max(len(standard) * (len(standard) - 1), 1)
    distance = (standard[:, None] - standard).abs().sum((0, 1)) / pairs
    nearness = 1 / (1 + distance)
    return nearness / nearness.mean()
