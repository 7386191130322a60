"""Make domains from arrays and tensors."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dacbn.datasets.fitting import Fit, make_square
from dacbn.datasets.images import LabelledImages, TensorImages, UnlabelledImages
from dacbn.datasets.labels import number_labels
from dacbn.datasets.pixels import darkness, to_uint8
from dacbn.memory import require_memory
from dacbn.spelling import spell

LAYOUTS = "(N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W)"
CHANNELS = (1, 3)
WITH_ALPHA = (2, 4)


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
    pixels = _to_pixels(images, size, fit, positions.numel())
    return LabelledImages(TensorImages(pixels), positions, names)


def unlabelled(
    images: NDArray[np.generic] | Tensor, size: int | None = None, fit: Fit = "crop"
) -> UnlabelledImages:
    """Make an unlabelled domain; images, size, fit and errors as in `labelled`.

    An array (H, W, 1 or 3) is one image.
    """
    return UnlabelledImages(TensorImages(_to_pixels(images, size, fit)))


def size_of_array(shape: tuple[int, ...]) -> int:
    """Return the height of images of this shape, in one of the layouts in `LAYOUTS`."""
    if len(shape) == 3:
        return shape[0] if shape[2] in CHANNELS else shape[1]
    return shape[2 if shape[1] in CHANNELS else 1]


def resize(pixels: Tensor, size: int, fit: Fit = "crop") -> Tensor:
    """Resize images (N, C, H, W) to (N, C, size, size), bilinear and antialiased."""
    height, width = pixels.shape[-2:]
    if (height, width) == (size, size):
        return pixels
    if height != width:  # as files are, by the same code
        from torchvision.transforms.v2 import functional as tv

        rows = [make_square(tv.to_pil_image(image), size, fit) for image in pixels.cpu()]
        return torch.stack([tv.pil_to_tensor(row) for row in rows]).to(pixels.device)
    require_memory(
        pixels.shape[:2].numel() * size**2,
        f"{len(pixels)} images of {size} pixels per side",
        f"lower {spell('image_size')}",
        pixels.device,
    )
    # as torchvision does, whose import takes a second; torch has no other kernels for
    # uint8, and that of a single pixel fails
    takes = pixels.is_floating_point() or (pixels.is_cpu and size > 1)
    resized = F.interpolate(
        pixels if takes else pixels.float(),
        (size, size),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return resized if takes else resized.round().to(pixels.dtype)


def _to_tensor(images: NDArray[np.generic] | Tensor) -> Tensor:
    """Return any array as a tensor; torch takes no reversed views and no foreign byte order."""
    if isinstance(images, Tensor):
        if images.is_meta or images.layout != torch.strided:
            kind = "on the meta device" if images.is_meta else f"of {images.layout}"
            raise ValueError(f"images in a tensor {kind}: pass a dense one with values")
        return images
    if count := np.count_nonzero(np.ma.getmaskarray(images)):
        raise ValueError(f"{count} values of the images are masked: fill them")
    array = np.asarray(images)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    try:
        return torch.as_tensor(array if array.flags.writeable else array.copy())
    except TypeError as error:
        raise ValueError(
            f"images of dtype {array.dtype}: pass uint8, or float in [0, 1]"
        ) from error


def _to_pixels(
    images: NDArray[np.generic] | Tensor, size: int | None, fit: Fit, count: int | None = None
) -> Tensor:
    pixels = _channels_first(_to_tensor(images), count)
    height, width = pixels.shape[2:]
    if size is None and height != width:
        raise ValueError(f"images of {height} x {width} are not square: pass size to {fit} them")
    deep = pixels.dtype == torch.uint16
    pixels = to_uint8(pixels)
    if deep and pixels.numel() and (note := darkness(int(pixels.max()))):
        warnings.warn(note, stacklevel=3)
    pixels = pixels if size is None else resize(pixels, size, fit)
    return pixels.expand(-1, 3, -1, -1).contiguous()


def _channels_first(pixels: Tensor, count: int | None) -> Tensor:
    """Return images (N, 1 or 3, H, W) of any layout; `count` is their number, if it is known."""
    shape = tuple(pixels.shape)
    if 0 in shape:
        raise ValueError(f"there are no images, or no pixels, in an array of shape {shape}")
    if pixels.ndim == 3 and shape[2] in CHANNELS:  # nobody has grey images so narrow
        pixels = pixels.unsqueeze(0)
    elif pixels.ndim == 3 and shape[0] == 3 and count != 3:
        if count != 1:
            raise ValueError(
                f"cannot tell whether images of shape {shape} are one in colour or three in grey: "
                "pass images[None] or images[:, None]"
            )
        pixels = pixels.unsqueeze(0)
    elif pixels.ndim == 3 and not (shape[2] in WITH_ALPHA and shape[1] > max(WITH_ALPHA)):
        pixels = pixels.unsqueeze(1)
    if pixels.ndim == 4 and pixels.shape[1] not in CHANNELS and pixels.shape[3] in CHANNELS:
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in CHANNELS:
        raise ValueError(f"cannot read images of shape {shape}: {_cure(shape)}")
    return pixels


def _cure(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "pass photo[None] for one grey image, or rows.reshape(-1, height, width) for rows"
    if len(shape) in (3, 4) and shape[-1] in WITH_ALPHA:
        return "pass images[..., :-1], without the alpha channel"
    if len(shape) == 4 and shape[1] in WITH_ALPHA:
        return "pass images[:, :-1], without the alpha channel"
    return f"expected {LAYOUTS}"
