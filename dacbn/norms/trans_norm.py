"""Transferable normalisation (TransNorm).

Paper: Wang, Jin, Long, Wang and Jordan, "Transferable Normalization: Towards Improving
Transferability of Deep Neural Networks", NeurIPS 2019,
https://papers.nips.cc/paper/2019/hash/fd2c5e4680d9a01dba3aada5ece22270-Abstract.html.

Each domain is normalised by its own moments, and an affine map shared by the domains gives z. Then
channels in which the domains lie close together are raised over those in which they do not:

    y = (1 + a_c) * z,   a_c = C / (1 + d_c) / sum_j 1 / (1 + d_j),

where d_c is the distance between mean / sqrt(var + eps) of the two domains. No gradient flows
through a_c. It is 1 on average, so the output is about twice BatchNorm's.

Differs from the paper: domains are told apart by ids instead of by halves of the batch, and the
evaluation takes each sample's own domain; with more than two domains, d_c is the mean distance of
all pairs, with one it is 0. A domain with less than two values per channel in the batch takes part
in d_c, and is normalised, by its running statistics. Variances in d_c are biased in training, as
those that normalise are.
"""

import torch
from torch import Tensor

from dacbn.norms.by_id.moments import standardise
from dacbn.norms.context_batch_norm import ContextBatchNorm
from dacbn.norms.contract import norms


@norms.register("trans_norm")
class TransNorm(ContextBatchNorm):
    """Standardise each domain by itself, and raise the channels in which the domains agree.

    Args:
        num_features: channels C.
        num_clusters: domains K; 2 for one source and one target.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics of the domains it holds.
        affine: learn `weight` and `bias`, shared by the domains and applied before the raising.

    Raises:
        RuntimeError: at a forward without cluster ids.
        ValueError: the ids do not fit the batch, or lie outside [0, num_clusters).
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: int = 2,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, num_clusters, eps, momentum, affine)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise, scale, shift and raise x of shape (N, C, L)."""
        ids = self.ids_for(x)
        mean, var = self.running(x, ids)
        z = super().scale_and_shift(standardise(x, ids, mean, var + self.eps))
        return z * (1 + agreement(mean, var + self.eps))[:, None]

    def scale_and_shift(self, y: Tensor) -> Tensor:
        """Leave y as it is: the affine map came before the raising."""
        return y


@torch.no_grad()
def agreement(mean: Tensor, var: Tensor) -> Tensor:
    """Compute how near the domains' standardised means, (K, C), are: (C,), 1 on average."""
    place = mean * var.rsqrt()
    pairs = max(len(place) * (len(place) - 1), 1)
    distance = (place[:, None] - place).abs().sum((0, 1)) / pairs
    nearness = 1 / (1 + distance)
    return nearness / nearness.mean()
