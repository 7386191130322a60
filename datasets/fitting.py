"""How an image that is not square becomes square: one rule for files and arrays."""

from typing import Literal, TypeAlias

from PIL import Image, ImageOps

Fit: TypeAlias = Literal["crop", "pad", "squeeze"]
"""Crop the centre, pad with black, or squeeze the longer side."""


def make_square(image: Image.Image, size: int, fit: Fit = "crop") -> Image.Image:
    """Return an image of size x size pixels, bilinear and antialiased."""
    sides, bilinear = (size, size), Image.Resampling.BILINEAR
    if fit == "squeeze":
        return image.resize(sides, bilinear)
    return (ImageOps.fit if fit == "crop" else ImageOps.pad)(image, sides, bilinear)
