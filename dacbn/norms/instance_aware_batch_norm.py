"""Instance-aware batch normalisation (IABN of NOTE).

Paper: Gong, Jeong, Kim, Kim, Shin and Lee, "NOTE: Robust Continual Test-time Adaptation Against
Temporal Correlation", NeurIPS 2022, https://arxiv.org/abs/2208.05117.

Each sample is normalised by the running statistics, corrected where its own moments over L
positions differ from them by more than chance explains:

    mean = mean_b + shrink(mean_i - mean_b, k sqrt(var_b / L)),
    var = var_b + shrink(var_i - var_b, k var_b sqrt(2 / (L - 1))),

where shrink(d, t) is d moved towards 0 by t, and var_i is unbiased. In training, mean_b and var_b
are those of the batch.

Differs from the paper: `dacbn.norms.following` moves the running statistics by the batches of the
stream, as the paper moves them by the images in its memory. A variance below zero becomes zero, and
one position, which has no variance, is normalised as by BatchNorm. A trained BatchNorm can be
replaced without training again, where the authors train with the layer.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from dacbn.limits import Fraction, NotNegative, Positive
from dacbn.norms.batch_moments import batch_moments, values_per_channel
from dacbn.norms.contract import norms
from dacbn.norms.following import FollowsStream, move, standardise_samples, weight_of
from dacbn.norms.mixture.by_sample import sample_moments
from dacbn.norms.running_statistics import HIDDEN_STATISTICS, HIDDEN_VARIANCE, RunningStatistics

SMALLEST = 1e-30  # variance whose square root has a gradient


@norms.register("instance_aware_batch_norm")
class InstanceAwareBatchNorm(RunningStatistics, FollowsStream):
    """BatchNorm, corrected for each sample that its statistics do not explain.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics, in training.
        affine: learn `weight` and `bias`.
        threshold: k, standard errors that chance explains.
        rate: weight of 64 images of a stream in the running statistics; 0 leaves them.
    """

    evaluates: ClassVar[str] = "corrects its statistics for each sample"
    statistics = HIDDEN_STATISTICS

    def __init__(
        self,
        num_features: int,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        threshold: NotNegative = 3.0,
        rate: Fraction = 0.01,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.threshold = threshold
        self.rate = rate

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L), then scale and shift it."""
        mean, var = self.known_moments(x)
        length = x.shape[2]
        if length > 1:
            own_mean, own_var = sample_moments(x)
            own_var = own_var * (length / (length - 1))
            by_mean = self.threshold * (var / length).clamp_min(SMALLEST).sqrt()
            by_var = self.threshold * var * (2 / (length - 1)) ** 0.5
            mean = mean + shrink(own_mean - mean, by_mean)
            var = F.relu(var + shrink(own_var - var, by_var))
        return standardise_samples(x, mean, var + self.eps, (self.weight, self.bias))

    def known_moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and variance (C,) that are corrected, after moving those that run."""
        several = values_per_channel(x) > 1
        if several and self.follows:
            move(self.running_moments(), batch_moments(x), weight_of(len(x), self.rate))
        elif self.uses_batch(x):
            mean, var = batch_moments(x)
            count = values_per_channel(x)
            newest = {"running_mean": mean, HIDDEN_VARIANCE: var * (count / (count - 1))}
            self.update_statistics(**newest)
            return mean, var
        mean, var = self.running_moments()
        return mean.to(x.dtype, copy=True), var.to(x.dtype, copy=True)

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, threshold={self.threshold}, rate={self.rate}"


def shrink(difference: Tensor, by: Tensor) -> Tensor:
    """Move values towards zero by an amount, at most to zero."""
    return F.relu(difference - by) - F.relu(-difference - by)
