"""BatchNorm with as many learned parameters as a mixture: a control for mixtures.

Paper: none; it tests the claim of Faye, Azzag, Lebbah and Bouchaffra, "Cluster-Based
Normalization Layer for Neural Networks", 2024, https://arxiv.org/abs/2403.16798.

A mixture of K components has 3 K numbers per channel (shares, means, variances) and applies a
non-linear function to the values of a channel. This layer has as many learned numbers for such a
function, and finds no clusters:

    y = z + sum_k h_k tanh(s_k (z - p_k)),    z = (x - mean) / sqrt(var + eps).

If it gains as much as the mixture, capacity was the reason. Heights h start at zero, so the layer
starts as BatchNorm.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.batch_norm import BatchNorm
from dacbn.norms.channel_map import ChannelMap, NoChannelMapError, standardising
from dacbn.norms.contract import Norm, norms
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.mixture.moments import evenly_inside_unit
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm

REACH = 2.0  # standard deviations to either side, over which the tanh terms start evenly spaced


@norms.register("matched_batch_norm")
class MatchedBatchNorm(Norm, SeenAsBatchNorm):
    """BatchNorm plus K learned tanh terms per channel: a parameter-matched control.

    Args:
        num_features: channels C.
        num_clusters: tanh terms K of each channel, as many as a mixture has components.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.

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
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.num_clusters = num_clusters
        self.standard = BatchNorm(num_features, eps, momentum, affine=False)
        positions = REACH * (2 * evenly_inside_unit(num_clusters, torch.empty(0)) - 1)
        self.place = nn.Parameter(positions[:, None].repeat(1, num_features))
        self.slope = nn.Parameter(torch.ones(num_clusters, num_features))
        self.height = nn.Parameter(torch.zeros(num_clusters, num_features))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        y: Tensor = self.standard(x)
        z = y
        for centre, slope, height in zip(self.place, self.slope, self.height, strict=True):
            y = y + height[:, None] * torch.tanh(slope[:, None] * (z - centre[:, None]))
        return self.affine(y)

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return BatchNorm's map, if no tanh is added to it."""
        if bool(self.height.any()):
            raise NoChannelMapError("adds a tanh of each value")
        return standardising(*self.standard.running_moments(), Affine(self.weight, self.bias))

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load the running statistics."""
        self.standard.load_batch_norm(batch_norm)

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, num_clusters={self.num_clusters}"
