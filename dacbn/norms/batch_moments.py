"""Moments of a batch x, (N, C, L), whose rows may be on several processes."""

import torch
from torch import Tensor

from dacbn.processes import batch_rows, current, is_shared, merge_moments, total


def values_per_channel(x: Tensor) -> int:
    """Return how many values each channel of x, (N, C) or (N, C, *), has on all processes."""
    return batch_rows(x) * x.shape[2:].numel()


def batch_means(*values: Tensor) -> list[Tensor]:
    """Compute the mean of each channel, (C,), of several tensors (N, C, L), in one exchange."""
    if not is_shared():
        return [each.mean((0, 2)) for each in values]
    first = values[0]
    own = first.new_full((), first.shape[0] * first.shape[2])
    count, *sums = total(own, *(each.sum((0, 2)) for each in values))
    return [each / count for each in sums]


def batch_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and the biased variance of each channel, (C,), of x (N, C, L)."""
    mean = x.mean((0, 2)) if x.numel() else x.sum((0, 2))
    squares = (x - mean[:, None]).square()
    var = squares.mean((0, 2)) if x.numel() else squares.sum((0, 2))
    count = mean.new_full((1,), x.shape[0] * x.shape[2], dtype=torch.float64)
    _, mean, var = merge_moments(count, mean, var)
    return mean, var


def of_all_processes(values: Tensor) -> Tensor:
    """Put values (C, k) of all processes side by side, (C, W k), with gradients.

    Every process has as many. A batch that is not shared has its own alone.
    """
    share = current()
    if share is None or not is_shared():
        return values
    places = values.new_zeros(share.count, 1, 1)
    places[share.rank] = 1
    (side_by_side,) = total(places * values)
    return side_by_side.transpose(0, 1).flatten(1)
