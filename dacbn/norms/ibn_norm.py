"""Instance and batch normalisation side by side (IBN-a).

Paper: Pan, Luo, Shi and Tang, "Two at Once: Enhancing Learning and Generalization Capacities via
IBN-Net", ECCV 2018, https://arxiv.org/abs/1807.09441.
Differs from the paper: the paper puts this layer after the first convolution of the blocks in all
stages but the last; here, `sites` of the conversion decides. Where a channel of a sample is a
single value, the instance part leaves it unchanged.
"""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Fraction, Positive
from dacbn.norms.batch_norm import BatchNorm
from dacbn.norms.channel_map import ChannelMap, NoChannelMapError, standardising
from dacbn.norms.contract import Norm, norms, trained_statistics
from dacbn.norms.group_norm import standardise_groups
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm


@norms.register("ibn_norm")
class IBNNorm(Norm, SeenAsBatchNorm):
    """Normalise the first half of the channels by instance, the others by batch.

    Args:
        num_features: channels C.
        ratio: share of the channels that are normalised by instance, rounded down.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.

    Raises:
        ValueError: `ratio` or `momentum` is not a number in [0, 1].
    """

    def __init__(
        self,
        num_features: int,
        ratio: Fraction = 0.5,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.by_instance = int(num_features * ratio)
        self.batch = BatchNorm(num_features - self.by_instance, eps, momentum, affine=False)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        instance, batch = x[:, : self.by_instance], x[:, self.by_instance :]
        parts = []
        if instance.shape[1]:
            parts.append(standardise_groups(instance, self.by_instance, self.eps))
        if batch.shape[1]:
            parts.append(self.batch(batch))
        return self.affine(torch.cat(parts, 1))

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map of the batch part, if no channel is normalised by instance."""
        if self.by_instance:
            raise NoChannelMapError("normalises some channels by the moments of each sample")
        return standardising(*self.batch.running_moments(), Affine(self.weight, self.bias))

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load the running statistics of the channels that are normalised by batch."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            self.batch.running_mean.copy_(trained[0][self.by_instance :])
            self.batch.running_var.copy_(trained[1][self.by_instance :])

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, by_instance={self.by_instance}"
