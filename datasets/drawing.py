"""Which images make a batch: of each domain, in the order of an epoch. All depends on the step."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from dacbn.datasets.class_balance import balanced_rows


def draw_rows(
    counts: Sequence[int | None],
    batch_size: int,
    keys: Sequence[tuple[int, int]],
    balance: bool = True,
    labels: Sequence[Tensor] | None = None,
) -> Callable[[int], list[Tensor]]:
    """Return a function: step -> indices of its images in each of several domains, int64.

    Args:
        counts: images of each domain; None for a stream without end, whose indices are the
            positions in it, one after the other.
        batch_size: images of the batch.
        keys: seed and stream of each domain.
        balance: take equally many of each domain, in turn if the batch size is no multiple;
            otherwise every image of all domains is taken equally often.
        labels: of each domain, int64, to take all classes equally often; None does not.

    Example:
        >>> rows = draw_rows([100, 7, 50], 6, [(0, 0), (0, 4), (0, 5)])
        >>> [len(each) for each in rows(0)]
        [2, 2, 2]
    """
    listed = [count for count in counts if count is not None]
    if not balance and listed:
        ends = np.cumsum(listed).tolist()
        draw = _draw(sum(listed), keys[0], None if labels is None else torch.cat(list(labels)))

        def of_all(step: int) -> list[Tensor]:
            rows = draw(step * batch_size, (step + 1) * batch_size)
            return [
                rows[(rows >= end - count) & (rows < end)] - (end - count)
                for end, count in zip(ends, listed, strict=True)
            ]

        return of_all
    draws = [
        _draw(count, key, None if labels is None else labels[place])
        for place, (count, key) in enumerate(zip(counts, keys, strict=False))
    ]

    def of_each(step: int) -> list[Tensor]:
        ends = step * batch_size, (step + 1) * batch_size
        return [
            draw(*(_ceil(end - domain, len(draws)) for end in ends))
            for domain, draw in enumerate(draws)
        ]

    return of_each


def rows_at(step: int, count: int, batch_size: int, key: tuple[int, int]) -> Tensor:
    """Return the indices of a step's images in a domain of `count` images: int64 (batch_size,)."""
    return _rows(step * batch_size, (step + 1) * batch_size, count, key)


def _draw(
    count: int | None, key: tuple[int, int], labels: Tensor | None
) -> Callable[[int, int], Tensor]:
    if count is None:
        return torch.arange
    if labels is not None:
        return balanced_rows(labels, key)
    return partial(_rows, count=count, key=key)


def _rows(start: int, stop: int, count: int, key: tuple[int, int]) -> Tensor:
    """Return the images at positions `start` to `stop - 1` of an endless stream of epochs."""
    if start == stop:
        return torch.zeros(0, dtype=torch.int64)
    epochs = range(start // count, (stop - 1) // count + 1)
    order = torch.cat([permutation(count, *key, epoch) for epoch in epochs])
    first = start - epochs[0] * count
    return order[first : first + stop - start]


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


@lru_cache(maxsize=16)
def permutation(count: int, seed: int, stream: int, epoch: int) -> Tensor:
    """Return the order of the images of an epoch: int64 (count,)."""
    generator = torch.Generator().manual_seed(mix(seed, stream, epoch))
    return torch.randperm(count, generator=generator)


def mix(*parts: int) -> int:
    """Combine several numbers to one seed; similar numbers give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
