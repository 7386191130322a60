"""Decode one image file of any format, size and colour mode to a uint8 tensor."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from dacbn.datasets import jpeg2000, tiff_tags
from dacbn.datasets.fitting import Fit, make_square
from dacbn.datasets.packed import ImageFile
from dacbn.datasets.pixels import to_uint8
from dacbn.datasets.tiff_tags import NO_TAGS, Tags

Image.init()
# Only recognised by Pillow, or drawn by another program
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
SUFFIXES = frozenset(
    suffix
    for suffix, kind in Image.registered_extensions().items()
    if kind in {*Image.OPEN, "MPO"} - NOT_DECODED  # MPO is opened as JPEG is
)
LEAST = 1.25  # times the final size: down to it a JPEG is decoded at a half, quarter or eighth
MAX_16_BITS = 65535
SIXTEEN_BITS_IN_32 = ("PNG", "PPM")  # formats that Pillow may open in mode I
SIXTEEN_BITS = (";16", "SGI16", ", 65535)")  # in Pillow's words for how bytes are laid out
UNLIKE_KEYS = ("L;2", "L;4", ";16")  # layouts of pixels that Pillow scales, but not their key
UNKNOWN = "no image format that Pillow reads"
NOT_UNPACKED = ("decoder error", "unknown raw mode")  # what Pillow says of pixels of some TIFFs
ALPHA_MODES = ("LA", "PA", "RGBA")


class UnreadableImageError(ValueError):
    """An image file cannot be read; `reason` says why, without the name of the file."""

    def __init__(self, path: ImageFile, reason: str) -> None:
        super().__init__(f"{path} cannot be read as an image: {reason}")
        self.reason = reason


class Picture(NamedTuple):
    """A decoded file, and what its reader should know."""

    pixels: Tensor
    note: str | None = None  # what of the file is left out
    peak: int | None = None  # greatest grey level before resizing, if the file has 16 bits


def decode(path: ImageFile, size: int, fit: Fit = "crop") -> Tensor:
    """Decode one file to uint8 (3, size, size).

    Raises:
        UnreadableImageError: the file is no image or cut short, or its pixels have no known range.
    """
    return read_picture(path, size, fit).pixels


def read_picture(path: ImageFile | Image.Image, size: int, fit: Fit = "crop") -> Picture:
    """Decode as `decode` does, also a picture of Pillow's, and tell what is left out."""
    if isinstance(path, Image.Image):
        return _read_opened(path, size, fit)
    try:
        opened = path if isinstance(path, Path) else path.open()
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise OSError("not a regular file")  # a named pipe would be waited for
        with Image.open(opened) as file:
            least = int(LEAST * size)
            file.draft("RGB", (least, least))  # decodes a large JPEG at lower resolution
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
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


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
    stream = getattr(file, "fp", None) if file.format == "JPEG2000" else None
    header = None if stream is None else jpeg2000.read_header(stream)
    _refuse_unknown_range(file, tags, header)
    notes = []
    pages = getattr(file, "n_frames", 1)
    if pages > 1 and file.format != "MPO":  # whose other images are previews
        notes.append(f"{pages} pages or frames, of which the first is read")
    layout = str(getattr(file, "tile", ""))  # of the bytes; decoding empties it
    deep = file.mode.startswith("I") or any(mark in layout for mark in SIXTEEN_BITS)
    deep |= header is not None and header.bits == 16
    file.load()
    image = file
    if file.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # otherwise Pillow copies the image
        image = ImageOps.exif_transpose(file)
    has_alpha = image.mode in ALPHA_MODES
    colours = len(image.getbands()) - has_alpha
    bands, true_alpha = tags.get(tiff_tags.BANDS, 1), tiff_tags.has_alpha(tags)
    if header is not None and image.mode != "PA":
        bands, true_alpha = colours + has_alpha, header.alpha
    if bands > colours and not true_alpha:
        image = image.convert(image.mode[:-1]) if has_alpha else image
        notes.append(f"{bands} bands, of which {colours} are read")
    if "transparency" in image.info and any(mark in layout for mark in UNLIKE_KEYS):
        image = image.copy()  # it may be the user's picture
        del image.info["transparency"]
        notes.append("a transparent colour that is shown as it is")
    image = to_rgb(image, tags)
    peak = int(np.asarray(image).max()) if deep else None
    pixels = torch.from_numpy(np.array(make_square(image, size, fit))).permute(2, 0, 1).contiguous()
    return Picture(pixels, "; ".join(notes) or None, peak)


def _refuse_unknown_range(file: Image.Image, tags: Tags, header: jpeg2000.Declared | None) -> None:
    """Refuse pixels of unknown range, and those that Pillow takes for others."""
    whole = file.mode == "I" and file.format not in SIXTEEN_BITS_IN_32
    signed = tiff_tags.SIGNED in tags.get(tiff_tags.SAMPLE_FORMAT, ()) or (
        file.format == "FITS" and file.mode == "I;16"  # whose 16 bits have a sign
    )
    if whole or signed or (header is not None and header.signed):
        raise ValueError(
            "signed or 32-bit whole numbers have no known range: store 8 or 16 bits without sign"
        )
    if tiff_tags.is_misread(tags):
        raise ValueError(tiff_tags.describe(tags))
    if header is not None and header.grey and file.mode == "RGB":
        raise ValueError("3 bands that this JPEG 2000 declares grey: declare sRGB")


def _to_grey(image: Image.Image, tags: Tags) -> Image.Image:
    values = np.array(image)
    if image.mode != "F":
        if values.min() < 0 or values.max() > MAX_16_BITS:
            raise ValueError(
                f"values from {values.min()} to {values.max()} exceed 16 bits: scale them"
            )
        bits = tags.get(tiff_tags.BITS, (16,))[0]  # a TIFF may declare 12
        values = (values.astype(np.int64) << (16 - bits)).astype(np.uint16)
    if tags.get(tiff_tags.PHOTOMETRIC) == tiff_tags.WHITE_IS_ZERO:  # Pillow inverts 8 bits only
        values = (1 if image.mode == "F" else MAX_16_BITS) - values
    return Image.fromarray(to_uint8(torch.from_numpy(values)).numpy())


def _reason(path: ImageFile, error: Exception) -> str:
    """Say in one line why a file cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return tiff_tags.describe_file(path) or _describe_dicom(path) or UNKNOWN
    if str(error).startswith(NOT_UNPACKED) and (pixels := tiff_tags.describe_file(path)):
        return pixels
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _describe_dicom(path: ImageFile) -> str | None:
    """Say that a file is DICOM, by its magic number; None for other files."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(132).endswith(b"DICM"):
            return "DICOM, which Pillow does not read: save its pixels, scaled to 8 bits, as PNG"
    return None
