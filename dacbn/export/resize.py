"""Resize images of any size as dacbn resizes those that it reads, by operators that exporters know.

Pillow's antialiased bilinear filter is a triangle, two pixels of the input or of the output wide,
whichever are larger. Columns and rows are filtered by a matrix each, which follows from the sizes.
"""

import torch
from torch import Tensor

from dacbn.datasets import Fit


def resize(images: Tensor, size: int, fit: Fit, whole: bool) -> Tensor:
    """Make images (B, 3, H, W) square, (B, 3, size, size), as those of files become.

    Args:
        images: float32.
        size: pixels per side.
        fit: crop the centre, pad with black, or squeeze the longer side.
        whole: round to whole numbers in [0, 255], as images of bytes are.
    """
    height, width = (images.new_ones(()) * side for side in images.shape[2:])
    boxes = {"crop": torch.minimum(height, width), "pad": torch.maximum(height, width)}
    for dim, length in ((3, width), (2, height)):  # Pillow's order, which matters to the rounding
        weights = _weights(images.shape[dim], length, boxes.get(fit, length), size)
        images = images @ weights.T if dim == 3 else weights @ images
        if whole:
            images = (images + 0.5).floor().clamp(0, 255)
    return images


def _weights(count: int, length: Tensor, box: Tensor, size: int) -> Tensor:
    """Compute the weights (size, count) of the pixels of one dimension.

    Args:
        count: number of pixels.
        length: the same, as a tensor.
        box: length of the part around the centre that becomes `size` pixels; with more than all
            pixels, black is around them.
        size: pixels of the result.
    """
    inner = (size * torch.minimum(length, box) / box).round()  # of whole pixels, without the black
    before = ((size - inner) * 0.5).round()
    places = torch.arange(size) + 0.5 - before
    scale = torch.minimum(length, box) / inner.clamp_min(1)
    centres = (length - box).clamp_min(0) * 0.5 + places * scale
    pixels = torch.arange(count) + 0.5
    weights = (1 - (pixels - centres[:, None]).abs() / scale.clamp_min(1)).clamp_min(0)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-6)
    return weights * ((places > 0) & (places < inner))[:, None]
