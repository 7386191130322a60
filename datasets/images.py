"""Types of domains: images of one size, labelled (a source) or unlabelled (a target)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from dacbn.datasets.decoding import decode
from dacbn.datasets.fitting import Fit
from dacbn.datasets.packed import ImageFile


class Images(Protocol):
    """Square RGB images that can be fetched by index, from memory or from files."""

    @property
    def size(self) -> int:
        """Pixels per side."""

    def __len__(self) -> int:
        """Return the number of images."""

    def gather(self, indices: Tensor) -> Tensor:
        """Return uint8 images (B, 3, S, S) for int64 indices (B,)."""


@dataclass(frozen=True, eq=False)
class TensorImages:
    """Images held in one tensor, on any device.

    Args:
        pixels: uint8, shape (N, 3, S, S).

    Raises:
        ValueError: dtype or shape are different.
    """

    pixels: Tensor

    def __post_init__(self) -> None:
        """Check the pixels."""
        pixels = self.pixels
        square = pixels.ndim == 4 and pixels.shape[1] == 3 and pixels.shape[2] == pixels.shape[3]
        if pixels.dtype != torch.uint8 or not square:
            raise ValueError(
                f"expected uint8 pixels of shape (N, 3, S, S), got {pixels.dtype} of shape "
                f"{tuple(pixels.shape)}: convert them with dacbn.datasets.unlabelled(images)"
            )

    @property
    def size(self) -> int:
        """Pixels per side."""
        return self.pixels.shape[-1]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels)

    def gather(self, indices: Tensor) -> Tensor:
        """Return uint8 images (B, 3, S, S) for int64 indices (B,), on the device of the pixels."""
        return self.pixels[indices.to(self.pixels.device, non_blocking=True)]

    def to(self, device: torch.device | str) -> "TensorImages":
        """Return the same images on another device."""
        return TensorImages(self.pixels.to(device))


@dataclass(frozen=True, eq=False)
class FileImages:
    """Images decoded on access, for folders that are too large for memory.

    Args:
        paths: image files; all must be readable.
        size: pixels per side.
        fit: how an image becomes square.
    """

    paths: tuple[ImageFile, ...]
    size: int
    fit: Fit = "crop"

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def gather(self, indices: Tensor) -> Tensor:
        """Return uint8 images (B, 3, S, S) for int64 indices (B,), on the CPU."""
        paths = [self.paths[index] for index in indices.tolist()]
        if not paths:
            return torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        with ThreadPoolExecutor() as threads:  # decoding releases the GIL
            return torch.stack(
                list(threads.map(partial(decode, size=self.size, fit=self.fit), paths))
            )


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with labels: a source domain, or any domain used for evaluation.

    Args:
        images: N images.
        labels: int64 (N,), indices into `classes`.
        classes: the name of every class, in the order of the labels.
        names: of the images, such as their files; empty where they are not known.

    Raises:
        ValueError: there are no images, labels do not match images or classes, or class names
            repeat.
    """

    images: Images
    labels: Tensor
    classes: tuple[str, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        _refuse_empty(self.images)
        if self.labels.dtype != torch.int64 or self.labels.shape != (len(self.images),):
            raise ValueError(
                f"expected int64 labels of shape ({len(self.images)},), one per image, got "
                f"{self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"class names must differ from each other, got {self.classes}")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise ValueError(
                f"labels run from {low} to {high} but there are {len(self.classes)} classes: "
                f"labels must be in 0..{len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def without_labels(self) -> "UnlabelledImages":
        """Return the images without the labels, for training on them as a target domain."""
        return UnlabelledImages(self.images)


@dataclass(frozen=True, eq=False)
class UnlabelledImages:
    """Images without labels: a target domain, as used in training.

    Args:
        images: N images.

    Raises:
        ValueError: there are no images.
    """

    images: Images

    def __post_init__(self) -> None:
        """Check the fields."""
        _refuse_empty(self.images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)


@dataclass(frozen=True, eq=False)
class NamedImages(UnlabelledImages):
    """Images with names, for people who look at them; no training receives these.

    Args:
        names: of the images, such as their files.
    """

    names: tuple[str, ...] = ()


def _refuse_empty(images: Images) -> None:
    if len(images) == 0:
        raise ValueError("a domain needs at least one image, got none")
