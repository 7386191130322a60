"""Make domains from arrays and tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from dacbn.datasets.images import LabelledImages, TensorImages, UnlabelledImages

LAYOUTS = "(N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W)"


def labelled(
    images: NDArray[np.generic] | Tensor,
    labels: ArrayLike | Tensor,
    classes: Sequence[str] | None = None,
    size: int | None = None,
) -> LabelledImages:
    """Make a labelled domain.

    Args:
        images: uint8, or float in [0, 1]; grey or RGB, channels first or last, in one of
            the layouts in `LAYOUTS`.
        labels: one per image: integers starting at 0, or class names.
        classes: the name of every class; by default the numbers up to the largest label, or the
            sorted names that occur in `labels`.
        size: resize images to this many pixels per side; required unless they are square.

    Raises:
        ValueError: the dtype, shape or range of images or labels is not supported.
    """
    positions, names = _number_labels(labels, classes)
    return LabelledImages(TensorImages(_to_pixels(images, size)), positions, names)


def unlabelled(images: NDArray[np.generic] | Tensor, size: int | None = None) -> UnlabelledImages:
    """Make an unlabelled domain; images, size and errors as in `labelled`."""
    return UnlabelledImages(TensorImages(_to_pixels(images, size)))


def resize(pixels: Tensor, size: int) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size), bilinear and antialiased."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    resized: Tensor = tv.resize(pixels, [size, size], antialias=True)
    return resized


def _number_labels(
    labels: ArrayLike | Tensor, classes: Sequence[str] | None
) -> tuple[Tensor, tuple[str, ...]]:
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.dtype.kind in "UO":
        array = array.astype(str)
        names = tuple(classes or sorted(set(array.tolist())))
        if unknown := sorted(set(array.tolist()) - set(names)):
            raise ValueError(f"labels {unknown} are not among the classes {names}: add them")
        array = np.array([names.index(name) for name in array.tolist()], dtype=np.int64)
    elif array.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers from 0 or class names, got {array.dtype}")
    else:
        names = tuple(classes or map(str, range(int(array.max(initial=-1)) + 1)))
    return torch.from_numpy(array.astype(np.int64)), names


def _to_pixels(images: NDArray[np.generic] | Tensor, size: int | None) -> Tensor:
    pixels = torch.as_tensor(images)
    shape = tuple(pixels.shape)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    elif pixels.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise ValueError(f"cannot read images of shape {shape}: expected {LAYOUTS}")
    if size is None and pixels.shape[2] != pixels.shape[3]:
        raise ValueError(f"images of shape {shape} are not square: pass size to resize them")
    pixels = _to_uint8(pixels)
    pixels = pixels if size is None else resize(pixels, size)
    return pixels.expand(-1, 3, -1, -1).contiguous()


def _to_uint8(pixels: Tensor) -> Tensor:
    if pixels.dtype == torch.uint8:
        return pixels
    if not pixels.is_floating_point():
        raise ValueError(f"images of dtype {pixels.dtype}: pass uint8, or float in [0, 1]")
    if pixels.numel():
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # also catches NaN
            raise ValueError(
                f"float images range from {low:g} to {high:g}: scale to [0, 1] or pass uint8"
            )
    return (pixels * 255).round().to(torch.uint8)
