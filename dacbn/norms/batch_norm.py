"""Batch normalisation, for any number of dimensions and samples.

Paper: Ioffe and Szegedy, "Batch Normalization", ICML 2015, https://arxiv.org/abs/1502.03167.
Differs from the paper: none in the mathematics; where a channel has a single value, which has no
variance, training falls back to the running statistics (torch's layer raises).
"""

from typing import ClassVar

import torch
from torch import Tensor, fx

from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import laid_out_like, norms
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.mixture.routes import HALF, traced_as_one
from dacbn.norms.recomputation import is_recomputation
from dacbn.norms.running_statistics import RunningStatistics
from dacbn.norms.shared_batch_norm import batch_norm


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
        if isinstance(x, fx.Proxy):
            return traced_as_one(self, x)
        self.check_input(x)
        return batch_normalise(self, x)

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by running statistics."""
        return standardising(*self.running_moments(), Affine(self.weight, self.bias))


def batch_normalise(layer: RunningStatistics, x: Tensor) -> Tensor:
    """Normalise x, (N, C) or (N, C, *), by torch's kernel, by the batch or running statistics."""
    mean, var = layer.running_moments()
    by_batch = layer.uses_batch(x)
    if not by_batch:  # copies: a training batch may move them before the backward pass
        mean, var = mean.clone(), var.clone()
    elif not is_recomputation():
        layer.num_batches_tracked.add_(1)
    affine = layer.weight, layer.bias
    return apply_kernel(x, (mean, var), affine, by_batch, layer.pace, layer.eps)


def apply_kernel(
    x: Tensor,
    moments: tuple[Tensor, Tensor] | None,
    affine: tuple[Tensor | None, Tensor | None],
    by_batch: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalise x, (N, C) or (N, C, *), by the batch or by `moments`, with torch's kernel.

    Args:
        x: the activations, of any type.
        moments: mean and variance (C,); by the batch, they are moved towards the batch's, unless
            it is recomputed.
        affine: weight and bias (C,), or None.
        by_batch: whether the batch's moments normalise.
        momentum: weight of the batch.
        eps: added to the variance.
    """
    if moments and by_batch and is_recomputation():  # a checkpoint counts what is saved
        moments = moments[0].clone(), moments[1].clone()
    mean, var = moments or (None, None)
    weight, bias = affine
    types = {table.dtype for table in (mean, var, weight, bias) if table is not None}
    if types <= {x.dtype} or (types == {torch.float32} and x.dtype in HALF):
        y = batch_norm(x, mean, var, weight, bias, by_batch, momentum, eps)
        return laid_out_like(x, y)
    wide = torch.float32
    for dtype in (x.dtype, *types):
        wide = torch.promote_types(wide, dtype)
    mean, var, weight, bias = (
        None if table is None else table.to(wide) for table in (mean, var, weight, bias)
    )
    y = batch_norm(x.to(wide), mean, var, weight, bias, by_batch, momentum, eps)
    if by_batch and moments is not None and mean is not None and var is not None:
        moments[0].copy_(mean), moments[1].copy_(var)
    return laid_out_like(x, y.to(x.dtype))
