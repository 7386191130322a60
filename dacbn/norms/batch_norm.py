"""Batch normalisation, for any number of dimensions and samples.

Paper: Ioffe and Szegedy, "Batch Normalization", ICML 2015, https://arxiv.org/abs/1502.03167.
Differs from the paper: none in the mathematics; where a channel has a single value, which has no
variance, training falls back to the running statistics (torch's layer raises).
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from dacbn.norms.contract import norms
from dacbn.norms.running_statistics import RunningStatistics


@norms.register("batch_norm")
class BatchNorm(RunningStatistics):
    """Standardise each channel by the batch in training, by running statistics otherwise.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.
    """

    standardises_channels: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *); torch's kernel keeps float32 statistics."""
        self.check_input(x)
        return batch_normalise(self, x)


def batch_normalise(layer: RunningStatistics, x: Tensor) -> Tensor:
    """Normalise x, (N, C) or (N, C, *), by torch's kernel, by the batch or running statistics."""
    by_batch = layer.uses_batch(x)
    if by_batch:
        layer.num_batches_tracked.add_(1)
    return F.batch_norm(
        x,
        layer.running_mean,
        layer.running_var,
        layer.weight,
        layer.bias,
        by_batch,
        layer.momentum,
        layer.eps,
    )
