"""Decode one image file of any format, size and colour mode to a uint8 tensor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from dacbn.datasets.fitting import Fit, make_square
from dacbn.datasets.pixels import to_uint8

Image.init()
# Only recognised by Pillow, or drawn by another program
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
SUFFIXES = frozenset(
    suffix
    for suffix, kind in Image.registered_extensions().items()
    if kind in {*Image.OPEN, "MPO"} - NOT_DECODED  # MPO is opened as JPEG is
)
# Tags of TIFF
BITS, PHOTOMETRIC, BANDS, EXTRA_BANDS, SAMPLE_FORMAT = 258, 262, 277, 338, 339
WHITE_IS_ZERO, ASSOCIATED_ALPHA, SIGNED, FLOAT = 0, 1, 2, 3
MAX_16_BITS = 65535
SIXTEEN_BITS_IN_32 = ("PNG", "PPM")  # formats that Pillow may open in mode I
ALPHA_MODES = ("LA", "PA", "RGBA")

Tags: TypeAlias = Mapping[int, Any]
NO_TAGS: Tags = {}


class UnreadableImageError(ValueError):
    """An image file cannot be read; `reason` says why, without the name of the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as an image: {reason}")
        self.reason = reason


class Picture(NamedTuple):
    """A decoded file, and what its reader should know."""

    pixels: Tensor
    note: str | None = None  # what of the file is left out
    peak: int | None = None  # greatest grey level before resizing, if the file has 16 bits


def decode(path: Path, size: int, fit: Fit = "crop") -> Tensor:
    """Decode one file to uint8 (3, size, size).

    Raises:
        UnreadableImageError: the file is no image or cut short, or its pixels have no known range.
    """
    return read_picture(path, size, fit).pixels


def read_picture(path: Path | Image.Image, size: int, fit: Fit = "crop") -> Picture:
    """Decode as `decode` does, also a picture of Pillow's, and tell what is left out."""
    if isinstance(path, Image.Image):
        return _read_opened(path, size, fit)
    try:
        if path.exists() and not path.is_file():  # a named pipe would be waited for
            raise OSError("not a regular file")
        with Image.open(path) as file:
            file.draft("RGB", (2 * size, 2 * size))  # decodes a large JPEG at lower resolution
            return _read(file, size, fit)
    except Exception as error:  # Pillow raises SyntaxError, struct.error and others
        raise UnreadableImageError(path, _reason(path, error)) from error


def to_rgb(image: Image.Image, tags: Tags = NO_TAGS) -> Image.Image:
    """Convert any colour mode to RGB; white shows through what is transparent.

    Raises:
        ValueError: the pixels have no known range.
    """
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow's conversion would clip these
        image = _to_grey(image, tags)
    if image.has_transparency_data:  # white, as in a viewer; without alpha it is often black
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def file_of(picture: Image.Image) -> Path | None:
    """Return the file that a picture was opened from, if it was."""
    name = getattr(picture, "filename", "")
    return Path(name) if isinstance(name, str | Path) and str(name) else None


def _read_opened(picture: Image.Image, size: int, fit: Fit) -> Picture:
    name = file_of(picture) or Path("a picture in memory")
    try:
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        return _read(picture, size, fit)
    except Exception as error:  # it may be opened only, and its file be broken
        raise UnreadableImageError(name, _reason(name, error)) from error


def _read(file: Image.Image, size: int, fit: Fit) -> Picture:
    tags: Tags = getattr(file, "tag_v2", NO_TAGS)
    whole = file.mode == "I" and file.format not in SIXTEEN_BITS_IN_32
    if SIGNED in tags.get(SAMPLE_FORMAT, ()) or whole:
        raise ValueError(
            "signed or 32-bit whole numbers have no known range: store 8 or 16 bits without sign"
        )
    notes = []
    pages = getattr(file, "n_frames", 1)
    if pages > 1 and file.format != "MPO":  # whose other images are previews
        notes.append(f"{pages} pages or frames, of which the first is read")
    deep = file.mode.startswith("I") or ";16" in str(getattr(file, "tile", ""))  # of the format
    image: Image.Image = ImageOps.exif_transpose(file)
    has_alpha = image.mode in ALPHA_MODES
    colours = len(image.getbands()) - has_alpha
    if tags.get(BANDS, 1) > colours and ASSOCIATED_ALPHA not in tags.get(EXTRA_BANDS, ()):
        image = image.convert(image.mode[:-1]) if has_alpha else image
        notes.append(f"{tags[BANDS]} bands, of which {colours} are read")
    image = to_rgb(image, tags)
    peak = int(np.asarray(image).max()) if deep else None
    pixels = torch.from_numpy(np.array(make_square(image, size, fit))).permute(2, 0, 1).contiguous()
    return Picture(pixels, "; ".join(notes) or None, peak)


def _to_grey(image: Image.Image, tags: Tags) -> Image.Image:
    values = np.array(image)
    if image.mode != "F":
        if values.min() < 0 or values.max() > MAX_16_BITS:
            raise ValueError(
                f"values from {values.min()} to {values.max()} exceed 16 bits: scale them"
            )
        bits = tags.get(BITS, (16,))[0]  # a TIFF may declare 12
        values = (values.astype(np.int64) << (16 - bits)).astype(np.uint16)
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts 8 bits only
            values = MAX_16_BITS - values
    return Image.fromarray(to_uint8(torch.from_numpy(values)).numpy())


def _reason(path: Path, error: Exception) -> str:
    """Say in one line why a file cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return _describe_tiff(path) or "no image format that Pillow reads"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _describe_tiff(path: Path) -> str | None:
    """Describe the pixels of a TIFF that Pillow does not know; None for other files."""
    try:
        with path.open("rb") as file:
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
        bands, bits = tags.get(BANDS, 1), tags[BITS][0]
    except Exception:  # no TIFF, or a broken one
        return None
    kind = "float" if tags.get(SAMPLE_FORMAT, (1,))[0] == FLOAT else "whole-number"
    return (
        f"{bands} band{'s' * (bands > 1)} of {bits}-bit {kind} pixels, which Pillow does not read: "
        "store 1 or 3 bands of 8 bits"
    )
