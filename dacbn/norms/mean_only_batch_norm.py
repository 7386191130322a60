"""Batch normalisation that subtracts the mean and leaves the scale.

Paper: Salimans and Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate
Training of Deep Neural Networks", NeurIPS 2016, https://arxiv.org/abs/1602.07868.

The scale is the business of normalised weights before this layer: write
"mean_only_batch_norm + bounded_weight_norm".

Differs from the paper: the gain of the paper's weight normalisation is `weight` here. A trained
BatchNorm's standard deviation goes into `weight` too, so that its function stays.
"""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.contract import Norm, check_fraction, has_statistics, norms


@norms.register("mean_only_batch_norm")
class MeanOnlyBatchNorm(Norm):
    """Subtract each channel's mean over the batch, or its running mean, and leave the scale.

    Nothing restores a scale that is lost on the way: activations of a deep network with random
    weights may begin near zero. Where a channel has a single value, the running mean is subtracted
    in training too.

    Args:
        num_features: channels C.
        eps: of the BatchNorm that this layer replaces; nothing is divided here.
        momentum: weight of the newest batch in the running mean.
        affine: learn `weight` and `bias`.
    """

    running_mean: Tensor

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ) -> None:
        super().__init__(num_features, eps, affine)
        check_fraction("momentum", momentum)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(num_features))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        if not self.training or x.shape[0] * x.shape[2] < 2:
            return x - self.running_mean[:, None]
        mean = x.mean((0, 2))
        self.running_mean.lerp_(mean.detach(), self.momentum)
        return x - mean[:, None]

    def carry_over(self, batch_norm: _BatchNorm) -> None:
        """Take over the running mean, and what `weight` has to do instead of a division."""
        if not has_statistics(batch_norm):
            return
        assert batch_norm.running_mean is not None and batch_norm.running_var is not None
        self.running_mean.copy_(batch_norm.running_mean)
        if self.weight is not None:
            self.weight.mul_((batch_norm.running_var + batch_norm.eps).rsqrt())

    def reset_running_stats(self) -> None:
        """Forget what was seen."""
        self.running_mean.zero_()

    def extra_repr(self) -> str:
        """Say the sizes and choices that a printed model should show."""
        return f"{super().extra_repr()}, momentum={self.momentum}"
