"""Decode files block by block, so that a folder of any size takes little memory."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from dacbn.datasets.fetching import prefetch
from dacbn.datasets.fitting import Fit
from dacbn.datasets.many_files import Outcome, decode_into
from dacbn.datasets.packed import ImageFile

BLOCK = 256  # files


def read_blocks(
    files: Sequence[ImageFile], size: int, fit: Fit = "crop", ahead: bool = False
) -> Iterator[tuple[Tensor, list[Outcome]]]:
    """Yield the files in blocks, whose sizes differ by one at most.

    Args:
        files: N image files.
        size: pixels per side.
        fit: how an image becomes square.
        ahead: whether threads decode the next blocks meanwhile. Where a network uses all cores, its
            threads would wait for each other.

    Yields:
        uint8 pixels (R, 3, size, size) of the R files of a block that can be read, R >= 0; and what
        is known of each file of the block.
    """
    order = torch.arange(len(files))
    parts = torch.tensor_split(order, max(1, math.ceil(len(files) / BLOCK)))
    read = partial(_read_block, files, size, fit)
    return prefetch(read, iter(parts)) if ahead else map(read, parts)


def _read_block(
    files: Sequence[ImageFile], size: int, fit: Fit, rows: Tensor
) -> tuple[Tensor, list[Outcome]]:
    pixels = torch.empty(len(rows), 3, size, size, dtype=torch.uint8)
    outcomes = list(decode_into(pixels, [files[row] for row in rows.tolist()], size, fit))
    readable = torch.tensor([not isinstance(each, str) for each in outcomes], dtype=torch.bool)
    return pixels if readable.all() else pixels[readable], outcomes
