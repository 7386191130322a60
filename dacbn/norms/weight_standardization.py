"""Weights with mean zero and variance one in every output filter.

Paper: Qiao, Wang, Liu, Shen and Yuille, "Micro-Batch Training with Batch-Channel Normalization and
Weight Standardization", 2019, https://arxiv.org/abs/1903.10520.

    w'[i] = (w[i] - mean(w[i])) / sqrt(var(w[i]) + eps)

Differs from the paper: three published versions add eps differently; here the variance is biased
and eps is under the root. A filter with a single weight is unchanged.
"""

import torch
from torch import Tensor, nn

from dacbn.limits import Positive
from dacbn.norms.contract import weights


@weights.register("weight_standardization")
class WeightStandardization(nn.Module):
    """Standardise each output filter of a weight; a normaliser must follow.

    The filters' scale is lost: outputs grow with the square root of the fan-in, so that activations
    of a network without a normaliser after each such layer explode, and the running statistics of a
    trained network become wrong (`recalibrate` re-estimates them).

    Args:
        weight: of a convolution or linear layer, (out, in, *), or (out, in); output filters come
            first, as they do not in a transposed convolution.
        eps: added to the variance of a filter.
    """

    def __init__(self, weight: Tensor, eps: Positive = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, weight: Tensor) -> Tensor:
        """Return the standardised weight."""
        filters = weight.flatten(1)
        if filters.shape[1] == 1:
            return weight
        var, mean = torch.var_mean(filters, 1, correction=0, keepdim=True)
        return ((filters - mean) * (var + self.eps).rsqrt()).reshape(weight.shape)

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"eps={self.eps}"
