"""Maximum mean discrepancy (MMD) of two samples, with kernel widths taken from the data."""

import torch
from torch import Tensor

from dacbn.losses import widened

MIN_DISTANCE = 1e-6  # lower bound of the mean squared distance, for rows that are all equal


def gaussian_kernels(x: Tensor) -> Tensor:
    """Compute the mean of five Gaussian kernels between all rows of x (N, D): (N, N).

    The kernels are exp(-|x_i - x_j|^2 / (2^k g)) for k = -2 … 2, where g is the mean squared
    distance between different rows, without gradient. N is at least 2.
    """
    x = widened(x)
    x = x - x.detach().mean(0)  # the same distances, with less cancellation
    lengths = x.square().sum(1)
    with torch.autocast(x.device.type, enabled=False):
        distances = lengths[:, None] + lengths - 2 * x @ x.T
    total = distances.detach().sum() - distances.detach().trace()
    mean = (total / (len(x) * (len(x) - 1))).clamp(min=MIN_DISTANCE)
    kernels = [torch.exp(-distances / (4 * mean))]
    for _ in range(4):
        kernels.append(kernels[-1].square())  # half as wide
    return torch.stack(kernels).mean(0)


def squared_mmd(kernel: Tensor, num_source: int) -> Tensor:
    """Compute the unbiased estimate of the squared maximum mean discrepancy.

    Its expectation is 0 for equal distributions, so single values may be negative. A domain of a
    single row, which has no pairs, is treated as copies of that row.

    Args:
        kernel: k(x_i, x_j) of all pairs, (N, N); source rows first.
        num_source: number of source rows.
    """
    source, target = kernel[:num_source, :num_source], kernel[num_source:, num_source:]
    between = kernel[:num_source, num_source:].mean()
    return _mean_of_pairs(source) + _mean_of_pairs(target) - 2 * between


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    n = len(kernel)
    return (kernel.sum() - kernel.trace()) / (n * (n - 1)) if n > 1 else kernel.mean()
