"""Batch normalisation, for any number of dimensions and samples.

Paper: Ioffe and Szegedy, "Batch Normalization", ICML 2015, https://arxiv.org/abs/1502.03167.
Differs from the paper: none in the mathematics; where a channel has a single value, whose
variance says nothing, training falls back to the running statistics (torch's layer raises).
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.contract import Norm, check_fraction, norms


@norms.register("batch_norm")
class BatchNorm(Norm):
    """Standardise each channel by the batch in training, by running statistics otherwise.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ) -> None:
        super().__init__(num_features, eps, affine)
        check_fraction("momentum", momentum)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *); torch's kernel keeps float32 statistics."""
        self.check_input(x)
        by_batch = self.training and x.numel() > self.num_features
        if by_batch:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            by_batch,
            self.momentum,
            self.eps,
        )

    def carry_over(self, batch_norm: _BatchNorm) -> None:
        """Take over the running statistics."""
        if batch_norm.running_mean is not None and batch_norm.running_var is not None:
            self.running_mean.copy_(batch_norm.running_mean)
            self.running_var.copy_(batch_norm.running_var)

    def reset_running_stats(self) -> None:
        """Forget what was seen."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()
