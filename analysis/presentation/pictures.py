"""Small pictures for the page: encoded thumbnails with their names and what is said of them."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image, features
from torch import Tensor

from dacbn.analysis.observe.subject import Sample

SIDE = 96  # pixels of a thumbnail, at most
QUALITY = 60  # of WebP or JPEG: 1 to 3 kB for a photo
FASTEST = 0  # of WebP's methods: 0.8 ms for 48 pixels per side, the default 4.8
CHUNK = 64  # images that are in memory at a time


class Picture(NamedTuple):
    """One image on the page.

    Attributes:
        encoded: the thumbnail, as WebP or JPEG.
        name: of the image, such as its file.
        lines: what is said of it.
        wrong: whether its answer is known to be wrong.
    """

    encoded: bytes
    name: str
    lines: tuple[str, ...] = ()
    wrong: bool = False


class Gallery(NamedTuple):
    """Pictures under one heading.

    Attributes:
        title: the heading.
        rows: a few words on each row, and its pictures.
        folded: whether only the heading is shown at first.
    """

    title: str
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]
    folded: bool = False


def encode_images(sample: Sample, rows: Sequence[int], side: int = SIDE) -> list[bytes]:
    """Encode thumbnails of chosen images of a sample."""
    chunks = torch.split(torch.tensor(rows, dtype=torch.int64), CHUNK)
    return [
        _encode(pixels, side)
        for chunk in chunks
        if len(chunk)
        for pixels in sample.images.gather(chunk).cpu()
    ]


def take_pictures(
    sample: Sample,
    rows: Sequence[int],
    lines: Sequence[tuple[str, ...]],
    wrong: Sequence[bool] = (),
) -> tuple[Picture, ...]:
    """Make pictures of chosen images of a sample.

    Args:
        sample: images with their names.
        rows: of N images.
        lines: what is said of each (N).
        wrong: whether the answer to each is known to be wrong (N); none by default.
    """
    encoded = encode_images(sample, rows)
    marks = wrong or [False] * len(rows)
    return tuple(
        Picture(pixels, sample.name(row), said, bool(mark))
        for pixels, row, said, mark in zip(encoded, rows, lines, marks, strict=True)
    )


def media_type() -> str:
    """Return the type of the thumbnails: WebP, or JPEG where Pillow was built without it."""
    return "image/webp" if features.check("webp") else "image/jpeg"


def _encode(pixels: Tensor, side: int) -> bytes:
    """Encode one uint8 image (3, S, S)."""
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, media_type().removeprefix("image/"), quality=QUALITY, method=FASTEST)
    return content.getvalue()
