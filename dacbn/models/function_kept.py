"""Whether a layer in place of a BatchNorm computes the same in evaluation, found by trying."""

import copy

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms import Norm, share_context
from dacbn.norms.contract import trained_statistics

SAMPLES, POSITIONS = 8, 4
TOLERANCE = 1e-5  # of the largest output


@torch.no_grad()
def keeps_function(norm: Norm, batch_norm: _BatchNorm) -> bool:
    """Whether both give equal outputs in evaluation; an untrained BatchNorm has none to keep.

    Computed in float64 by a copy, so that neither rounding nor the layer's state has a part in it.
    """
    trained = trained_statistics(batch_norm)
    if trained is None:
        return True
    mean, var = (each.double()[:, None] for each in trained)
    standard = _spread_values(len(mean), mean.device)
    expected = standard * (var / (var + batch_norm.eps)).sqrt()
    for table, combine in ((batch_norm.weight, torch.mul), (batch_norm.bias, torch.add)):
        if table is not None:
            expected = combine(expected, table.double()[:, None])
    layer = copy.deepcopy(norm).double().eval()
    ids = torch.arange(SAMPLES, device=mean.device) % getattr(layer, "num_clusters", 1)
    with share_context(layer).bind(ids):
        found = layer(mean + standard * var.sqrt())
    error = (found - expected).abs().amax()
    return bool(error <= TOLERANCE * expected.abs().amax().clamp_min(1))


def _spread_values(channels: int, device: torch.device) -> Tensor:
    """Return values in (-2, 2), of shape (SAMPLES, channels, POSITIONS), alike in no dimension."""
    order = torch.arange(SAMPLES * channels * POSITIONS, dtype=torch.float64, device=device)
    return 2 * (order + 1).square().sin().view(SAMPLES, channels, POSITIONS)
