"""Batch normalisation that subtracts the mean and keeps the scale.

Paper: Salimans and Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate
Training of Deep Neural Networks", NeurIPS 2016, https://arxiv.org/abs/1602.07868.

The scale is expected to come from normalised weights before this layer: write
"mean_only_batch_norm + bounded_weight_norm".

Differs from the paper: the gain of the paper's weight normalisation is `weight` here. A trained
BatchNorm's standard deviation goes into `weight` too, so that its function is preserved.
"""

from typing import ClassVar

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.channel_map import ChannelMap, scaling
from dacbn.norms.contract import norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.running_statistics import RunningStatistics


@norms.register("mean_only_batch_norm")
class MeanOnlyBatchNorm(RunningStatistics):
    """Subtract each channel's mean over the batch, or its running mean, and keep the scale.

    Nothing restores the scale: activations of a deep network with random weights may be near zero
    at first. If a channel has a single value, the running mean is subtracted in training too.

    Args:
        num_features: channels C.
        eps: unused, except to load the BatchNorm that this layer replaces.
        momentum: weight of the newest batch in the running mean.
        affine: learn `weight` and `bias`.
    """

    statistics: ClassVar[dict[str, float]] = {"running_mean": 0}

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        if not self.uses_batch(x):
            return self.affine(x - self.running_mean[:, None])
        mean = x.mean((0, 2))
        self.update_statistics(running_mean=mean)
        return self.affine(x - mean[:, None])

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by the running mean."""
        unscaled = scaling(Affine(self.weight, self.bias), self.eps, self.num_features)
        return unscaled._replace(mean=self.running_mean.double())

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load the running mean, and fold the standard deviation into `weight`."""
        trained = trained_statistics(batch_norm)
        if trained is None:
            return
        self.running_mean.copy_(trained[0])
        if self.weight is not None:
            self.weight.mul_((trained[1] + batch_norm.eps).rsqrt())

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, momentum={self.momentum}"
