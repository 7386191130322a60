"""Batch normalisation by another scale: the L1 norm, the largest values, or any p-norm.

Paper: Hoffer, Banner, Golan and Soudry, "Norm matters: efficient and accurate normalization schemes
in deep networks", NeurIPS 2018, https://arxiv.org/abs/1803.01814.

Of a channel's n values, the k farthest from the mean count (all of them without `top`):

    y = (x - mean) / sqrt(scale^2 + eps),    scale = (mean over k of |x - mean|^p)^(1/p) / g,

where g is the same expression for n draws from a standard Gaussian, so that `scale`
estimates a standard deviation. L1 is p=1, top-10 is top=10, L-infinity is p="inf" or top=1.

Differs from the paper: for L-infinity and top-k, the paper takes 1 / g from bounds of the largest
of n Gaussian values, which leaves outputs with a standard deviation of 0.7 to 1.1; by default, g is
their expectation (`calibrated=False` restores the paper's). eps is added to the squared scale, so
that p=2 is BatchNorm, and `momentum` is the weight of the newest batch.
"""

import math
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import AT_LEAST_1, OR_INFINITE, Count, Fraction, Positive
from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.running_statistics import RunningStatistics

FITS = 4  # powers up to this one of any activation fit into float32
TINY = 1e-30


@norms.register("lp_batch_norm")
class LpBatchNorm(RunningStatistics):
    """Standardise each channel by its mean absolute deviation, or by another p-norm.

    The measure is scaled so that Gaussian values get a standard deviation of 1.

    Training normalises by the batch, evaluation by running statistics; so does training where a
    channel has a single value.

    Args:
        num_features: channels C.
        p: power of the norm: 1, 2, "inf" or any number from 1 on.
        top: number of a channel's values that count, the farthest first; None for all.
        calibrated: for p="inf" and `top`, divide by the Gaussian expectation, which is accurate to
            0.5 % if at most one value in ten counts; otherwise by the paper's constant.
        eps: added to the squared scale.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.

    Raises:
        ValueError: an option has no such value.
    """

    statistics: ClassVar[dict[str, float]] = {"running_mean": 0, "running_scale": 1}
    running_scale: Tensor

    def __init__(
        self,
        num_features: int,
        p: Annotated[float, AT_LEAST_1, OR_INFINITE] | Literal["inf"] = 1,
        top: Count | None = None,
        calibrated: bool = True,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.p = float(p)
        self.top = top
        self.calibrated = calibrated

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        by_batch = self.uses_batch(x)
        mean = x.mean((0, 2)) if by_batch else self.running_mean.to(x)
        centred = x - mean[:, None]
        scale = self._scale(centred) if by_batch else self.running_scale.to(x)
        if by_batch:
            self.update_statistics(running_mean=mean, running_scale=scale)
        return self.affine(centred * (scale.square() + self.eps).rsqrt()[:, None])

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by running statistics."""
        var = self.running_scale.double().square()
        return standardising(self.running_mean, var, Affine(self.weight, self.bias))

    def _scale(self, centred: Tensor) -> Tensor:
        """Estimate the standard deviation of each channel of (N, C, L)."""
        distance = centred.transpose(0, 1).flatten(1).abs()
        num_values = distance.shape[1]
        if self.top is not None:
            distance = distance.topk(min(self.top, num_values)).values
        return _power_mean(distance, self.p) / self._gaussian_scale(num_values, centred)

    def _gaussian_scale(self, num_values: int, like: Tensor) -> float | Tensor:
        """Compute the same measure of `num_values` draws from a standard Gaussian."""
        if self.top is None and self.p < math.inf:
            log_moment = self.p / 2 * math.log(2) + math.lgamma((self.p + 1) / 2)
            return math.exp((log_moment - math.log(math.pi) / 2) / self.p)
        if not self.calibrated:
            return 2 * math.sqrt(2 * math.log(num_values)) / (1 + math.sqrt(math.pi * math.log(4)))
        farthest = torch.arange(
            min(self.top or 1, num_values), device=like.device, dtype=like.dtype
        )
        # 0.4 is the plotting position nearest to the expectation for any number of values
        exceeded = (farthest + 0.6) / (num_values + 0.2)
        return _power_mean(torch.special.ndtri(exceeded / 2), self.p)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load the running statistics; the scale is a standard deviation."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            self.running_mean.copy_(trained[0])
            self.running_scale.copy_(trained[1].sqrt())

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return (
            f"{super().extra_repr()}, p={self.p:g}, top={self.top}, calibrated={self.calibrated}, "
            f"momentum={self.momentum}"
        )


def _power_mean(values: Tensor, p: float) -> Tensor:
    """Compute mean(|values|^p)^(1/p) over the last dimension, whose gradient at zero is zero."""
    if FITS < p < torch.inf:  # powers of values above 1 would overflow
        largest = values.detach().abs().amax(-1, keepdim=True).clamp_min(TINY)
        return _power_mean_of(values / largest, p) * largest[..., 0]
    return _power_mean_of(values, p)


def _power_mean_of(values: Tensor, p: float) -> Tensor:
    mean: Tensor = torch.linalg.vector_norm(values, p, dim=-1) * values.shape[-1] ** (-1 / p)
    return mean
