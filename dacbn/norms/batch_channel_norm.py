"""Batch-channel normalisation: first by the batch, then each sample by groups of channels.

Paper: Qiao, Wang, Liu, Shen and Yuille, "Rethinking Normalization and Elimination Singularity in
Neural Networks", 2019, https://arxiv.org/abs/1911.09738.

    z = gain * (x - m) / sqrt(v + eps) + shift         m, v of a channel, over the batch
    y = (z - m') / sqrt(v' + eps)                      m', v' of a sample's group of channels

Batches of a few images estimate m and v badly. With `estimate`, running estimates replace them in
training too, as constants without a gradient; alone, they would let activations drift, which the
second normalisation prevents.

Differs from the paper: the outer affine map is one per channel, where the authors' code has one per
group. Widths and groups that do not fit, and groups of one value, are as in `group_norm`. With a
momentum of 1, estimates are the batch's; the published variance is about the previous mean.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.batch_moments import batch_means, batch_moments
from dacbn.norms.batch_norm import apply_kernel
from dacbn.norms.contract import norms
from dacbn.norms.group_norm import fitting_groups, standardise_groups
from dacbn.norms.recomputation import PastTables
from dacbn.norms.running_statistics import HIDDEN_VARIANCE, RunningStatistics
from dacbn.processes import batch_rows


@norms.register("batch_channel_norm")
class BatchChannelNorm(RunningStatistics):
    """Standardise each channel as BatchNorm does, then each sample by groups of channels.

    Args:
        num_features: channels C.
        num_groups: groups G of C / G channels each; where G does not divide C, the nearest number
            that does and leaves two channels a group.
        estimate: normalise by running estimates in training too, for batches of a few images; with
            a `momentum` of about 0.01 for batches of up to four.
        eps: added to every variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`, and the inner `gain` and `shift`.

    Raises:
        ValueError: an option has no such value.
    """

    statistics: ClassVar[dict[str, float]] = {"running_mean": 0, HIDDEN_VARIANCE: 1}
    running_variance: Tensor

    def __init__(
        self,
        num_features: int,
        num_groups: Count = 32,
        estimate: bool = False,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.num_groups = fitting_groups(num_features, num_groups)
        self.estimate = estimate
        self.gain = nn.Parameter(torch.ones(num_features)) if affine else None
        self.shift = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.past = PastTables()

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        return self.affine(standardise_groups(self._by_batch(x), self.num_groups, self.eps))

    def _by_batch(self, x: Tensor) -> Tensor:
        """Normalise each channel by the batch, or by estimates, and apply the inner affine map."""
        mean, var = self.running_moments()
        by_batch = self.uses_batch(x) and not self.estimate
        if self.estimate and self.training and batch_rows(x):
            self._update_estimates(x.detach())
            mean, var = self.past.read(x, mean, var)
        if not by_batch:
            # copies, because the next batch may change the estimates before the backward pass
            mean, var = mean.clone(), var.clone()
        affine = self.gain, self.shift
        return apply_kernel(x, (mean, var), affine, by_batch, self.pace, self.eps)

    def _update_estimates(self, x: Tensor) -> None:
        """Move the estimates towards the batch's mean, and squares about the previous mean."""
        if self.pace == 1:  # as in the first batch of a recalibration: no previous mean
            mean, squares = batch_moments(x)
        else:
            mean, squares = batch_means(x, (x - self.running_mean[:, None]).square())
        self.update_statistics(running_mean=mean, running_variance=squares)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load the statistics, and split the affine map so that the function is preserved.

        A trained BatchNorm's output has mean `bias` and standard deviation `weight`. The second
        normalisation removes those of a group, and the outer map restores them.
        """
        super().load_batch_norm(batch_norm)
        if self.weight is None or self.bias is None or self.gain is None or self.shift is None:
            return
        weight, bias = (value.view(self.num_groups, -1) for value in (self.weight, self.bias))
        mean = bias.mean(1, keepdim=True)
        std = (weight.square() + (bias - mean).square()).mean(1, keepdim=True).sqrt()
        silent = std == 0  # a residual branch that starts at zero keeps the identity inside
        self.gain.copy_(torch.where(silent, 1, weight / std).flatten())
        self.shift.copy_(torch.where(silent, 0, (bias - mean) / std).flatten())
        self.weight.copy_(std.expand_as(weight).flatten())
        self.bias.copy_(mean.expand_as(bias).flatten())

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return (
            f"{super().extra_repr()}, num_groups={self.num_groups}, estimate={self.estimate}, "
            f"momentum={self.momentum}"
        )
