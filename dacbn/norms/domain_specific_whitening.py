"""Domain-specific whitening (DWT).

Paper: Roy, Siarohin, Sangineto, Rota Bulò, Sebe and Ricci, "Unsupervised Domain Adaptation using
Feature-Whitening and Consensus Loss", CVPR 2019, https://arxiv.org/abs/1903.03215.

Channels are taken in groups. Each domain's covariance within a group is shrunk towards the
identity, and the inverse of its Cholesky factor whitens the group:

    y = F^-1 (x - mean),    F F^T = (1 - s) cov + s I + eps I.

An affine map shared by the domains follows. Groups of one channel and s = 0 give ContextBatchNorm.

Differs from the paper: domains are distinguished by ids instead of halves of the batch; eps is
added to the variances, as in BatchNorm; running covariances are unbiased; correlations shrink by
one part in 100 000, so that the factorisation never fails by rounding. Where the group size does
not divide the channels, the last group is smaller. A domain with a single value per channel in the
batch is whitened by its running statistics.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.by_id.cluster_norm import ClusterBatchNorm
from dacbn.norms.by_id.moments import RunningMoments, gather_by_id
from dacbn.norms.channel_map import ChannelMap, NoChannelMapError, standardising
from dacbn.norms.contract import norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.mixture.routes import is_exported

# Far above the rounding of a float32 covariance, far below any useful shrinkage.
CORRELATION_SHRINKAGE = 1e-5


@norms.register("domain_specific_whitening")
class DomainSpecificWhitening(ClusterBatchNorm):
    """Decorrelate and standardise each domain separately, within groups of channels.

    Args:
        num_features: channels C.
        num_clusters: domains K; 2 for one source and one target.
        group_size: channels whitened together; memory and time of the whitening grow with it.
        shrinkage: share s of the identity in every covariance, in [0, 1].
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics of its domains.
        affine: learn `weight` and `bias`, shared by the domains.

    Raises:
        RuntimeError: at a forward without cluster ids.
        ValueError: the ids do not fit the batch, or are outside [0, num_clusters); an option has no
            such value.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 2,
        group_size: Count = 4,
        shrinkage: Fraction = 1e-3,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, num_clusters, eps, momentum, affine)
        self.group_size = min(group_size, num_features)
        self.shrinkage = shrinkage
        # Channels of zeros complete the last group: they correlate with nothing.
        self.padding = -num_features % self.group_size
        padded = num_features + self.padding
        self.running = RunningCovariances(num_clusters, padded, momentum, self.group_size)

    def normalise(self, x: Tensor) -> Tensor:
        """Whiten x of shape (N, C, L) by the bound domains."""
        ids = self.ids_of(x)
        if self.padding:
            x = F.pad(x, (0, 0, 0, self.padding))
        mean, covariance = self.running(x, ids)
        maps = whitening(covariance, self.shrinkage, self.eps)
        offset = x - gather_by_id(mean, ids)[..., None]
        y = gather_by_id(maps, ids) @ in_groups(offset, self.group_size)
        return self.affine(y.flatten(1, 2)[:, : self.num_features])

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start every domain on a BatchNorm's statistics, without correlations.

        Variances become what shrinks to them, so that the BatchNorm's function is kept unless a
        variance is below the shrinkage.
        """
        trained = trained_statistics(batch_norm)
        if trained is None:
            return
        mean, var = trained
        if self.shrinkage < 1:
            var = ((var - self.shrinkage) / (1 - self.shrinkage)).clamp_min(0)
        self.running.start(mean, var)

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by a domain's covariances, if no channels correlate."""
        cluster = self.cluster_of(cluster_id)
        cov = self.running.var[cluster].double()
        var = cov.diagonal(dim1=1, dim2=2)
        if bool((cov != var.diag_embed()).any()):
            raise NoChannelMapError("decorrelates the channels of a group")
        mean, var = self.running.mean[cluster], var.lerp(torch.ones_like(var), self.shrinkage)
        mean, var = mean[: self.num_features], var.flatten()[: self.num_features]
        return standardising(mean, var, Affine(self.weight, self.bias))

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, group_size={self.group_size}, shrinkage={self.shrinkage}"


class RunningCovariances(RunningMoments):
    """The mean and covariance of each domain; `var` is (K, G, g, g) for G groups of g channels.

    Args:
        num_clusters: domains K.
        num_features: channels C, a multiple of the group size.
        momentum: weight of the newest batch.
        group_size: channels g.
    """

    def __init__(
        self, num_clusters: int, num_features: int, momentum: float, group_size: int
    ) -> None:
        super().__init__(num_clusters, num_features, momentum)
        self.var = in_groups(self.var, group_size).diag_embed()

    def squares(self, offset: Tensor) -> Tensor:
        """Sum the products of offsets (N, C, L) within groups over positions: (N, G, g, g)."""
        grouped = in_groups(offset, self.var.shape[-1])
        return grouped @ grouped.mT

    def start(self, mean: Tensor, var: Tensor) -> None:
        """Start every domain on the same mean and variance, (C,) each, without correlations."""
        padding = self.mean.shape[1] - len(mean)
        self.mean.copy_(F.pad(mean, (0, padding)))
        padded = F.pad(var, (0, padding), value=1)[None]
        self.var.copy_(in_groups(padded, self.var.shape[-1]).diag_embed())


def in_groups(values: Tensor, group_size: int) -> Tensor:
    """Split channels, (N, C, *), in groups, (N, G, g, *)."""
    num_samples, channels, *others = values.shape
    return values.reshape(num_samples, channels // group_size, group_size, *others)


def whitening(covariance: Tensor, shrinkage: float, eps: float) -> Tensor:
    """Compute lower triangular maps that whiten: the inverse Cholesky factors of (*, g, g)."""
    one = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    shrunk = covariance.lerp(one, shrinkage) + eps * one
    # A factor scales with its channels, so only that of the correlations is computed.
    std = shrunk.diagonal(dim1=-2, dim2=-1).sqrt()
    correlation = shrunk / (std[..., :, None] * std[..., None, :])
    correlation = correlation.lerp(one, CORRELATION_SHRINKAGE)
    if is_exported():
        return eliminated(correlation, one) / std[..., None, :]
    factor = torch.linalg.cholesky_ex(correlation).L
    inverse: Tensor = torch.linalg.solve_triangular(factor, one, upper=False)
    return inverse / std[..., None, :]


def eliminated(matrix: Tensor, one: Tensor) -> Tensor:
    """Compute inverse Cholesky factors of (*, g, g) by sums and products, which ONNX has."""
    left, found = torch.cat([matrix, one.expand_as(matrix)], -1), []
    for column in range(matrix.shape[-1]):
        pivot = left[..., :1, column, None].rsqrt()
        row = left[..., :1, :] * pivot
        left = left[..., 1:, :] - left[..., 1:, column, None] * pivot * row
        found.append(row[..., matrix.shape[-1] :])
    return torch.cat(found, -2)
