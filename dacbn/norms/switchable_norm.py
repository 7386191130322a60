"""Switchable normalisation.

Paper: Luo, Ren, Peng, Zhang and Li, "Differentiable Learning-to-Normalize via Switchable
Normalization", ICLR 2019, https://arxiv.org/abs/1806.10779.

Means and variances of instance, layer and batch normalisation are mixed, each by their own softmax
weights: y = (x - sum_k p_k m_k) / sqrt(sum_k q_k v_k + eps).

Differs from the paper: evaluation uses moving averages of the batch's statistics, as the authors'
code does, instead of averages over a set of batches; the running variance is the unbiased one, as
in BatchNorm.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from dacbn.limits import Fraction, Positive
from dacbn.norms.contract import norms
from dacbn.norms.running_statistics import HIDDEN_STATISTICS, RunningStatistics
from dacbn.processes import batch_rows, merge_moments


@norms.register("switchable_norm")
class SwitchableNorm(RunningStatistics):
    """Standardise by a learned mixture of instance, layer and batch statistics.

    The logits of the mixtures, `mean_logits` and `var_logits`, are for instance, layer and batch
    in this order, and start equal.

    Args:
        num_features: channels C.
        eps: added to the mixed variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.
    """

    standardises_channels: ClassVar[bool] = True
    statistics = HIDDEN_STATISTICS
    running_variance: Tensor

    def __init__(
        self, num_features: int, eps: Positive = 1e-5, momentum: Fraction = 0.1, affine: bool = True
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.mean_logits = nn.Parameter(torch.zeros(3))
        self.var_logits = nn.Parameter(torch.zeros(3))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        mean, var = _moments(x, 2)
        moments = (mean, var), _pooled(mean, var, 1), self._batch_moments(mean, var, x.shape[2])
        means, variances = zip(*moments, strict=True)
        mean = _mixed(means, self.mean_logits)
        var = _mixed(variances, self.var_logits)
        return self.affine((x - mean) * (var + self.eps).rsqrt())

    def _batch_moments(self, mean: Tensor, var: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Pool the instances' moments (N, C, 1) in training, and update the running ones."""
        count = batch_rows(mean) * length
        if not self.training or count <= 1:
            # copies: a training batch may move them before the backward pass
            return self.running_mean[:, None].clone(), self.running_variance[:, None].clone()
        own = mean.new_full((1, 1, 1), len(mean) * length, dtype=torch.float64)
        _, mean, var = merge_moments(own, *_pooled(mean, var, 0))
        unbiased = var * count / (count - 1)
        self.update_statistics(running_mean=mean[0, :, 0], running_variance=unbiased[0, :, 0])
        return mean, var


def _moments(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    average = torch.mean if x.numel() else torch.sum  # the mean of no samples counts for nothing
    mean = average(x, dim, keepdim=True)
    return mean, average((x - mean).square(), dim, keepdim=True)


def _pooled(mean: Tensor, var: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Pool moments of parts of equal size: the variance within parts, plus that of their means."""
    pooled_mean, between = _moments(mean, dim)
    within = var.mean(dim, keepdim=True) if var.numel() else torch.zeros_like(between)
    return pooled_mean, within + between


def _mixed(values: tuple[Tensor, ...], logits: Tensor) -> Tensor:
    """Average values that broadcast to (N, C, 1), weighted by the softmax of logits."""
    shares = logits.softmax(0)
    return shares[0] * values[0] + shares[1] * values[1] + shares[2] * values[2]
