"""Supervised cluster-based normalisation (SCB-Norm) and its base variant.

Paper: Faye, Azzag, Lebbah and Bouchaffra, "Cluster-Based Normalization Layer for Neural Networks",
2024, https://arxiv.org/abs/2403.16798; SCB-Norm is also published as Adaptive Context
Normalization, https://arxiv.org/abs/2409.04759.

Each sample comes with the id of its cluster, and the cluster's learned mean and standard deviation
normalise it: y = (x - mean[id]) / sqrt(exp(log_std[id])^2 + eps), in training and evaluation alike.
Only the task's gradient moves these parameters, so the layer is a learned affine map per cluster
that starts as a normaliser.

Differs from the paper: the parameters start on the first batch's moments of each cluster instead
of at random; eps is added to the variance, as in the paper's figures (its code adds it to the
standard deviation); an affine map shared by the clusters follows, as in BatchNorm.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Positive
from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.by_id.cluster_norm import ClusterNorm
from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import norms, trained_statistics
from dacbn.norms.host_value import has_values, remember
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.mixture.moments import weighted_moments
from dacbn.processes import whole_batch


@norms.register("scb_norm")
class SCBNorm(ClusterNorm):
    """Normalise by a learned mean and standard deviation for each known cluster.

    Args:
        num_features: channels C.
        num_clusters: known clusters K; 2 for one source and one target.
        eps: added to the variance.
        affine: learn `weight` and `bias`, shared by the clusters.

    Raises:
        RuntimeError: at a forward without cluster ids.
        ValueError: the ids do not fit the batch, or are outside [0, num_clusters).

    Example:
        >>> import torch
        >>> from dacbn.norms import share_context
        >>> layer = SCBNorm(4)
        >>> with share_context(layer).bind(torch.tensor([0, 0, 1, 1])):
        ...     layer(torch.randn(4, 4, 5, 5)).shape
        torch.Size([4, 4, 5, 5])
    """

    shares_offset: ClassVar[bool] = False
    placed: Tensor

    def __init__(
        self, num_features: int, num_clusters: Count = 2, eps: Positive = 1e-5, affine: bool = True
    ) -> None:
        super().__init__(num_features, num_clusters, eps, affine)
        self.mean = nn.Parameter(torch.zeros(num_clusters, num_features))
        self.log_std = nn.Parameter(torch.zeros(num_clusters, num_features))
        shared = torch.zeros(num_features)
        self.shared_mean = nn.Parameter(shared) if self.shares_offset else None
        self.shared_log_std = nn.Parameter(shared.clone()) if self.shares_offset else None
        self.register_buffer("placed", torch.tensor(0))  # averages of weights take no bool
        self._host = remember(self, "placed")

    @property
    def uninitialised(self) -> bool:
        """Whether the parameters wait for a first batch.

        An average of weights may leave `placed` at 0, rounded down.
        """
        if self._host.read(self.placed):
            return False
        if has_values(self.log_std) and bool(self.log_std.any()):
            self._host.fill_(self.placed, 1)
            return False
        return True

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the bound clusters."""
        ids = self.ids_of(x)
        if self.training and values_per_channel(x) > 1 and self.uninitialised:
            with whole_batch(x, ids) as (images, all_ids):
                self._init_from_batch(images, all_ids)
        mean, log_std = self.mean[ids], self.log_std[ids]
        if self.shared_mean is not None and self.shared_log_std is not None:
            mean, log_std = mean + self.shared_mean, log_std + self.shared_log_std
        inverse_std = ((2 * log_std).exp() + self.eps).rsqrt()
        return self.affine((x - mean[..., None]) * inverse_std[..., None])

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by a cluster's learned mean and standard deviation."""
        cluster = self.cluster_of(cluster_id)
        mean, log_std = self.mean[cluster].double(), self.log_std[cluster].double()
        if self.shared_mean is not None and self.shared_log_std is not None:
            mean, log_std = mean + self.shared_mean, log_std + self.shared_log_std
        return standardising(mean, (2 * log_std).exp(), Affine(self.weight, self.bias))

    @torch.no_grad()
    def _init_from_batch(self, x: Tensor, ids: Tensor) -> None:
        """Start on each cluster's moments.

        A cluster that is absent gets those of all data, one with a single value their variance.
        """
        pooled = x.mean((0, 2)).expand_as(self.mean), x.var((0, 2)).expand_as(self.mean)
        members = F.one_hot(ids, self.num_clusters).T.to(x)[:, :, None, None]
        _, mean, var = weighted_moments(x, members, *pooled)
        several = members.sum((1, 3)) * x.shape[2] > 1
        self._set(mean, torch.where(several, var, pooled[1]))

    def _set(self, mean: Tensor, var: Tensor) -> None:
        finite = var < torch.inf  # what overflows would stay infinite
        self.mean.copy_(mean.where(finite, 0))
        self.log_std.copy_(0.5 * var.where(finite, 1).clamp_min(self.eps).log())
        self._host.fill_(self.placed, 1)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start every cluster on a trained BatchNorm's statistics."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            self._set(*trained)


@norms.register("scb_norm_base")
class SCBNormBase(SCBNorm):
    """SCB-Norm whose parameters are linear maps of the one-hot cluster id, with a bias.

    A linear map of a one-hot vector is a row of a table, so the function is SCB-Norm's; the bias,
    shared by the clusters, lets each cluster's gradient move the others.
    """

    shares_offset = True
