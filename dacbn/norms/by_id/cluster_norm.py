"""Base classes of layers that receive the cluster id of each image.

Shapes: x is (N, C, L), with one id per sample, (N,); statistics of K clusters are (K, C).
"""

from typing import ClassVar

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.by_id.context import ClusterContext, check_ids
from dacbn.norms.by_id.moments import RunningMoments
from dacbn.norms.contract import Need, Norm, trained_statistics
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm


class ClusterNorm(Norm):
    """A norm that reads the cluster of each sample from the context of its network.

    Args:
        num_features: channels C.
        num_clusters: known clusters K; 2 for one source and one target.
        eps: added to every variance.
        affine: learn `weight` and `bias`, shared by the clusters.

    Raises:
        RuntimeError: at a forward without cluster ids.
        ValueError: the ids do not fit the batch, or are outside [0, num_clusters).
    """

    needs: ClassVar[tuple[Need, ...]] = (Need.CLUSTER_IDS,)

    def __init__(
        self, num_features: int, num_clusters: Count = 2, eps: Positive = 1e-5, affine: bool = True
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.num_clusters = num_clusters
        self.context = ClusterContext()

    def ids_of(self, x: Tensor) -> Tensor:
        """Return the cluster of each sample of x: int64 (N,), checked."""
        ids = self.context.ids
        check_ids(ids, x.shape[0], self.num_clusters)
        return ids

    def cluster_of(self, cluster_id: int | None) -> int:
        """Return the id of a cluster, checked.

        Raises:
            ValueError: it is None, or there is no such cluster.
        """
        if cluster_id is None or not 0 <= cluster_id < self.num_clusters:
            raise ValueError(
                f"{type(self).__name__} normalises by cluster: give cluster_id, from 0 (the first "
                f"source) to {self.num_clusters - 1}, got {cluster_id}"
            )
        return cluster_id

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, num_clusters={self.num_clusters}"


class ClusterBatchNorm(ClusterNorm, SeenAsBatchNorm):
    """A norm with batch and running moments for each cluster.

    Args:
        num_features: channels C.
        num_clusters: known clusters K; 2 for one source and one target.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics of its clusters.
        affine: learn `weight` and `bias`, shared by the clusters.

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
        super().__init__(num_features, num_clusters, eps, affine)
        self.running = RunningMoments(num_clusters, num_features, momentum)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start every cluster on a BatchNorm's statistics."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            self.running.start(*trained)
