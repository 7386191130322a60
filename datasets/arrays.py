"""Make domains from arrays and tensors."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from dacbn.datasets.fitting import Fit, make_square
from dacbn.datasets.images import LabelledImages, TensorImages, UnlabelledImages
from dacbn.datasets.labels import number_labels
from dacbn.datasets.pixels import darkness, to_uint8
from dacbn.memory import require_memory
from dacbn.spelling import spell

LAYOUTS = "(N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W)"


def labelled(
    images: NDArray[np.generic] | Tensor,
    labels: ArrayLike | Tensor,
    classes: Sequence[str] | None = None,
    size: int | None = None,
    fit: Fit = "crop",
) -> LabelledImages:
    """Make a labelled domain.

    Args:
        images: uint8, uint16, or float in [0, 1]; grey or RGB, channels first or last, in one of
            the layouts in `LAYOUTS`.
        labels: one per image: whole numbers or class names, as `number_labels` takes them.
        classes: the name of every class; by default the sorted numbers or names that occur in
            `labels`.
        size: resize images to this many pixels per side; required unless they are square.
        fit: how images become square.

    Raises:
        ValueError: the dtype, shape or range of images or labels is not supported.
    """
    positions, names = number_labels(labels, classes)
    return LabelledImages(TensorImages(_to_pixels(images, size, fit)), positions, names)


def unlabelled(
    images: NDArray[np.generic] | Tensor, size: int | None = None, fit: Fit = "crop"
) -> UnlabelledImages:
    """Make an unlabelled domain; images, size, fit and errors as in `labelled`."""
    return UnlabelledImages(TensorImages(_to_pixels(images, size, fit)))


def resize(pixels: Tensor, size: int, fit: Fit = "crop") -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size), bilinear and antialiased."""
    height, width = pixels.shape[-2:]
    if (height, width) == (size, size):
        return pixels
    if height != width:  # as files are, by the same code
        rows = [make_square(tv.to_pil_image(image), size, fit) for image in pixels.cpu()]
        return torch.stack([tv.pil_to_tensor(row) for row in rows]).to(pixels.device)
    require_memory(
        pixels.shape[:2].numel() * size**2,
        f"{len(pixels)} images of {size} pixels per side",
        f"lower {spell('image_size')}",
        pixels.device,
    )
    if size == 1:  # torch fails with an internal error for uint8
        resized: Tensor = tv.resize(pixels.float(), [1, 1], antialias=True)
        return resized.round().to(pixels.dtype)
    resized = tv.resize(pixels, [size, size], antialias=True)
    return resized


def _to_tensor(images: NDArray[np.generic] | Tensor) -> Tensor:
    """Return any array as a tensor; torch takes no reversed views and no foreign byte order."""
    if isinstance(images, Tensor):
        return images
    if count := np.count_nonzero(np.ma.getmaskarray(images)):
        raise ValueError(f"{count} values of the images are masked: fill them")
    array = np.asarray(images)
    try:
        return torch.as_tensor(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))
    except TypeError as error:
        raise ValueError(
            f"images of dtype {array.dtype}: pass uint8, or float in [0, 1]"
        ) from error


def _to_pixels(images: NDArray[np.generic] | Tensor, size: int | None, fit: Fit) -> Tensor:
    pixels = _to_tensor(images)
    shape = tuple(pixels.shape)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    elif pixels.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape[2:]:
        raise ValueError(f"cannot read images of shape {shape}: expected {LAYOUTS}")
    if size is None and pixels.shape[2] != pixels.shape[3]:
        raise ValueError(f"images of shape {shape} are not square: pass size to {fit} them")
    deep = pixels.dtype == torch.uint16
    pixels = to_uint8(pixels)
    if deep and pixels.numel() and (note := darkness(int(pixels.max()))):
        warnings.warn(note, stacklevel=3)
    pixels = pixels if size is None else resize(pixels, size, fit)
    return pixels.expand(-1, 3, -1, -1).contiguous()
