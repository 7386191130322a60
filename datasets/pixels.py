"""What the numbers of images mean: one rule for files and arrays.

8 bits are taken as they are. Unsigned 16 bits run from 0 to 65535, and floats from 0 to 1. Other
types have no known range and are refused.
"""

import torch
from torch import Tensor

ROUNDING = 1e-3  # by which floats may leave [0, 1]: a quarter of a grey level
DARK = 16  # the greatest grey level of an image of 12 bits in 16, where its format rounds up


def to_uint8(pixels: Tensor) -> Tensor:
    """Scale pixels of any shape to uint8.

    Raises:
        ValueError: their type has no known range, or they leave it.
    """
    if pixels.dtype == torch.uint8:
        return pixels
    if pixels.dtype == torch.uint16:
        return (pixels.to(torch.int32) >> 8).to(torch.uint8)
    if not pixels.is_floating_point():
        raise ValueError(
            f"images of dtype {pixels.dtype} have no known range: pass uint8, uint16, or float in "
            "[0, 1]"
        )
    if pixels.numel():
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # also catches NaN
            raise ValueError(
                f"float images range from {low:.7g} to {high:.7g}: scale to [0, 1] or pass uint8"
            )
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)


def darkness(peak: int) -> str | None:
    """Return what to say of 16-bit images whose greatest grey level in 8 bits is `peak`."""
    if peak > DARK:
        return None
    return (
        f"16-bit images have values up to {256 * peak + 255} of 65535 only and come out nearly "
        "black: multiply them to the whole range, or store 8 bits"
    )
