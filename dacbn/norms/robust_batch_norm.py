"""Robust batch normalisation (RobustBN of RoTTA), and by the median of a batch (MedBN).

Paper: Yuan, Xie and Li, "Robust Test-Time Adaptation in Dynamic Scenarios", CVPR 2023,
https://arxiv.org/abs/2303.13899; with `median=True`, Park, Hwang, Mun, Park and Ok, "MedBN: Robust
Test-Time Adaptation against Malicious Test Samples", CVPR 2024, https://arxiv.org/abs/2403.19326.

At test time, the running statistics move towards those of each batch, and the moved ones normalise:

    mean <- (1 - m) mean + m mean_b,    var <- (1 - m) var + m var_b,
    y = (x - mean) / sqrt(var + eps).

With `median=True`, mean_b is the median of a channel, and var_b the mean square about it.

Differs from the papers: m depends on the size of the batch, so that the statistics move as far per
image in batches of any size. A channel with a single value, or with moments that are not finite,
leaves its statistics. The median of an even number of values is the lower of the two in the middle.
"""

from torch import Tensor

from dacbn.limits import Fraction, Positive
from dacbn.norms.batch_moments import batch_moments, values_per_channel
from dacbn.norms.batch_norm import BatchNorm
from dacbn.norms.contract import Norm, norms
from dacbn.norms.following import FollowsStream, move, standardise_samples, weight_of


@norms.register("robust_batch_norm")
class RobustBatchNorm(BatchNorm, FollowsStream):
    """BatchNorm whose running statistics go on moving while it predicts a stream.

    In training, and in evaluation outside of `dacbn.norms.following`, it is BatchNorm.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in training.
        affine: learn `weight` and `bias`.
        rate: weight of 64 images of a stream; RoTTA's is 0.05.
        median: follow the median of a batch instead of its mean.
    """

    def __init__(
        self,
        num_features: int,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        rate: Fraction = 0.05,
        median: bool = False,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.rate = rate
        self.median = median

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *)."""
        return Norm.forward(self, x) if self.follows else super().forward(x)

    def normalise(self, x: Tensor) -> Tensor:
        """Move the statistics towards those of x (N, C, L), and normalise it by them."""
        if values_per_channel(x) > 1:
            moments = median_moments(x) if self.median else batch_moments(x)
            move(self.running_moments(), moments, weight_of(len(x), self.rate))
        mean, var = (each.clone() for each in self.running_moments())
        return standardise_samples(x, mean, var + self.eps, (self.weight, self.bias))

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, rate={self.rate}, median={self.median}"


def median_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute each channel's median and mean square about it, (C,), of x (N, C, L)."""
    values = x.transpose(0, 1).flatten(1)
    median = values.median(1).values
    return median, (values - median[:, None]).square().mean(1)
