"""Images that were decoded once, into a file of pixels that processes share."""

import mmap
import os
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from dacbn.datasets.images import FileImages


def image_bytes(size: int) -> int:
    """Return the bytes of one image of uint8 (3, size, size)."""
    return 3 * size * size


@dataclass(frozen=True, eq=False, kw_only=True)
class CachedImages(FileImages):
    """Images of which the pixels lie in a file, behind each other.

    The file is opened once per process, by its path, and mapped into memory anew in each access:
    pages that stay mapped would count as memory of the process. A file that is deleted while it is
    open can be read on; one that has gone, or is too short, is not used, and images are decoded.

    Args:
        pixels: the file, uint8 (rows, 3, S, S).
        rows: the row of each image: int64 (N,).
    """

    pixels: Path
    rows: Tensor

    def gather(self, indices: Tensor) -> Tensor:
        """Return uint8 images (B, 3, S, S) for int64 indices (B,), on the CPU."""
        rows = self.rows[indices.cpu()].numpy()
        length = (int(rows.max(initial=0)) + 1) * image_bytes(self.size)
        try:
            if self._file is None:
                return super().gather(indices)
            mapped = mmap.mmap(self._file, length, access=mmap.ACCESS_READ)
        except ValueError:  # the file is too short
            return super().gather(indices)
        images = np.frombuffer(mapped, np.uint8).reshape(-1, 3, self.size, self.size)
        return torch.from_numpy(images[rows])

    def opened(self) -> Self:
        """Open the file now, so that it may be deleted; return the images."""
        _ = self._file
        return self

    @cached_property
    def _file(self) -> int | None:
        try:
            file = os.open(self.pixels, os.O_RDONLY)
        except OSError:
            return None
        weakref.finalize(self, os.close, file)
        return file

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_file"}
