"""Domain-specific batch normalisation (DSBN).

Paper: Chang, You, Seo, Kwak and Han, "Domain-Specific Batch Normalization for Unsupervised Domain
Adaptation", CVPR 2019, https://arxiv.org/abs/1906.03950.

Every domain has its own BatchNorm: moments, running statistics and affine map.

Differs from the paper: a batch may hold several domains, in any proportion. A domain with a single
value per channel in the batch is normalised by its running statistics.
"""

import torch
from torch import Tensor, nn

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.by_id.cluster_norm import ClusterBatchNorm
from dacbn.norms.by_id.moments import gather_by_id, standardise
from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import norms
from dacbn.norms.mixture.arguments import Affine


@norms.register("domain_specific_batch_norm")
class DomainSpecificBatchNorm(ClusterBatchNorm):
    """Apply a separate BatchNorm, affine map included, to every domain.

    Args:
        num_features: channels C.
        num_clusters: domains K; 2 for one source and one target.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics of its domains.
        affine: learn `weight` and `bias`, both (K, C).

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
        if affine:
            self.weight = nn.Parameter(torch.ones(num_clusters, num_features))
            self.bias = nn.Parameter(torch.zeros(num_clusters, num_features))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the bound domains."""
        ids = self.ids_of(x)
        mean, var = self.running(x, ids)
        return self.affine(standardise(x, ids, mean, var + self.eps))

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by a domain's running statistics and affine map."""
        cluster = self.cluster_of(cluster_id)
        mean, var = self.running.mean[cluster], self.running.var[cluster]
        rows = [None if table is None else table[cluster] for table in (self.weight, self.bias)]
        return standardising(mean, var, Affine(*rows))

    def affine(self, y: Tensor) -> Tensor:
        """Scale and shift y (N, C, L) by the map of each sample's domain."""
        if self.weight is None or self.bias is None:
            return y
        weight, bias = (
            gather_by_id(rows.to(y.dtype), self.context.ids) for rows in (self.weight, self.bias)
        )
        return torch.addcmul(bias[..., None], y, weight[..., None])
