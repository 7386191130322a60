"""Prediction-time batch normalisation: batch statistics in evaluation too.

Paper: Nado et al., "Evaluating Prediction-Time Batch Normalization for Robustness under Covariate
Shift", 2020, https://arxiv.org/abs/2006.10963; also Schneider et al., "Improving robustness against
common corruptions by covariate shift adaptation", NeurIPS 2020, https://arxiv.org/abs/2006.16971.
Differs from the paper: a channel with a single value falls back to the running statistics. The
second paper's mixing of batch and source statistics is left out.

Predictions depend on the other images in the batch: evaluate in large batches of one domain.
"""

from typing import ClassVar

import torch
from torch import Tensor, fx

from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.batch_norm import BatchNorm, apply_kernel
from dacbn.norms.contract import Norm, norms
from dacbn.norms.mixture.routes import is_exported, traced_as_one
from dacbn.norms.running_statistics import HIDDEN_STATISTICS


@norms.register("prediction_time_batch_norm")
class PredictionTimeBatchNorm(BatchNorm):
    """Standardise each channel by the batch, in evaluation as in training.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest training batch in the running statistics, which are used if
            a channel has a single value.
        affine: learn `weight` and `bias`.
    """

    always_by_batch: ClassVar[bool] = True
    evaluates: ClassVar[str] = "normalises by the batch in evaluation too"
    statistics = HIDDEN_STATISTICS
    running_variance: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *); evaluation changes no statistics."""
        if isinstance(x, fx.Proxy):
            return traced_as_one(self, x)
        if is_exported() and not self.training:
            return self._for_any_batch(x)
        if self.training or values_per_channel(x) <= 1:
            return super().forward(x)
        self.check_input(x)
        return apply_kernel(x, None, (self.weight, self.bias), True, 0.0, self.eps)

    def _for_any_batch(self, x: Tensor) -> Tensor:
        """Normalise x without a decision by the size of the batch, which a graph cannot take."""
        dims = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = x.mean(dims, keepdim=True)
        var = (x - mean).square().mean(dims, keepdim=True)
        known_mean, known_var = (each.view(shape) for each in self.running_moments())
        several = torch.ones_like(x[:, :1]).sum() > 1
        mean, var = mean.where(several, known_mean), var.where(several, known_var)
        y = (x - mean) * (var + self.eps).rsqrt()
        if self.weight is None or self.bias is None:
            return y
        return y * self.weight.view(shape) + self.bias.view(shape)

    evaluation_map = Norm.evaluation_map  # none, unlike BatchNorm
