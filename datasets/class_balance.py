"""Batches in which every class is equally likely, whatever its share of the domain."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def balanced_rows(labels: Tensor, key: tuple[int, int]) -> Callable[[int, int], Tensor]:
    """Return a function: first and last place plus one, in an endless stream -> indices, int64.

    Classes take turns through all batches, in a fixed order, so that their counts differ by one at
    most in any batch and in all batches together. Each class is sampled epoch by epoch: each of its
    images appears once per epoch, in a new order. Batches are consecutive pieces of the stream.

    Args:
        labels: of a domain, int64 (N,), N at least 1; classes without images are left out.
        key: seeds of the order.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 0, 7])
        >>> labels[balanced_rows(labels, (0, 0))(12, 16)]
        tensor([0, 7, 0, 7])
    """
    classes = labels.cpu().numpy()
    ends = np.unique(classes, return_counts=True)[1].cumsum()
    groups = np.split(classes.argsort(kind="stable"), ends[:-1])

    @lru_cache(maxsize=2 * len(groups))  # a batch may span two epochs of a class
    def order(group: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((*key, group, epoch)).permutation(groups[group])

    def rows_of(start: int, stop: int) -> Tensor:
        rows = []
        for turn in range(start, stop):
            round_, group = divmod(turn, len(groups))
            epoch, place = divmod(round_, len(groups[group]))
            rows.append(order(group, epoch)[place])
        return torch.from_numpy(np.array(rows, dtype=np.int64))

    return rows_of
