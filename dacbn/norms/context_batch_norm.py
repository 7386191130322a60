"""Batch normalisation of each cluster separately (Context Normalization, Supervised BatchNorm).

Paper: Faye, Azzag and Lebbah, "Supervised Batch Normalization", 2024,
https://arxiv.org/abs/2405.17027; with the prior's factor, it is the ContextNorm of Faye, Azzag,
Lebbah and Bouchaffra, "Enhancing Neural Network Representations with Prior Knowledge-Based
Normalization", 2024, https://arxiv.org/abs/2403.16798v3.

Each sample comes with the id k of its cluster, and its cluster's moments normalise it,

    y = (x - mean_k) / sqrt(prior_k * (var_k + eps)),

those of the batch in training, running ones otherwise. An affine map shared by the clusters
follows. With one cluster this is BatchNorm.

Differs from the paper: the prior is uniform, and left out by default, because a uniform prior only
multiplies the output by sqrt(K); where it is used, it comes before the affine map. A cluster
with a single value per channel in the batch is normalised by its running statistics.
"""

from torch import Tensor

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.by_id.cluster_norm import ClusterBatchNorm
from dacbn.norms.by_id.moments import standardise
from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import norms
from dacbn.norms.mixture.arguments import Affine


@norms.register("context_batch_norm")
class ContextBatchNorm(ClusterBatchNorm):
    """Standardise each known cluster by its own batch, or by its own running statistics.

    Args:
        num_features: channels C.
        num_clusters: known clusters K; 2 for one source and one target.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics of its clusters.
        affine: learn `weight` and `bias`, shared by the clusters.
        prior_scale: divide by the square root of the prior 1 / K, as ContextNorm does.

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
        prior_scale: bool = False,
    ) -> None:
        super().__init__(num_features, num_clusters, eps, momentum, affine)
        self.prior_scale = prior_scale

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the bound clusters."""
        ids = self.ids_of(x)
        mean, var = self.running(x, ids)
        prior = 1 / self.num_clusters if self.prior_scale else 1
        return self.affine(standardise(x, ids, mean, prior * (var + self.eps)))

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by a cluster's running statistics."""
        cluster = self.cluster_of(cluster_id)
        mean, var = self.running.mean[cluster], self.running.var[cluster]
        factor = self.num_clusters**0.5 if self.prior_scale else 1.0
        return standardising(mean, var, Affine(self.weight, self.bias), factor)

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        scale = ", prior_scale=True" if self.prior_scale else ""
        return super().extra_repr() + scale
