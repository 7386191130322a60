"""Batches in which every class is equally likely, whatever its share of the domain."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def balanced_rows(labels: Tensor, batch_size: int, key: tuple[int, int]) -> Callable[[int], Tensor]:
    """Return a function: step -> indices of the step's images, int64 (batch_size,).

    Classes take turns through all batches, in a fixed order, so that their counts differ by one at
    most in any batch and in all batches together. Each class is sampled epoch by epoch: each of its
    images appears once per epoch, in a new order. A batch depends only on its step.

    Args:
        labels: of a domain, int64 (N,), N at least 1; classes without images are left out.
        batch_size: images per batch.
        key: seeds of the order.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 0, 7])
        >>> labels[balanced_rows(labels, 4, (0, 0))(3)]
        tensor([0, 7, 0, 7])
    """
    classes = labels.cpu().numpy()
    ends = np.unique(classes, return_counts=True)[1].cumsum()
    groups = np.split(classes.argsort(kind="stable"), ends[:-1])

    @lru_cache(maxsize=2 * len(groups))  # a batch may span two epochs of a class
    def order(group: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((*key, group, epoch)).permutation(groups[group])

    def rows_of(step: int) -> Tensor:
        rows = []
        for turn in range(step * batch_size, (step + 1) * batch_size):
            round_, group = divmod(turn, len(groups))
            epoch, place = divmod(round_, len(groups[group]))
            rows.append(order(group, epoch)[place])
        return torch.from_numpy(np.array(rows))

    return rows_of
