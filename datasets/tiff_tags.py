"""What a TIFF declares about its pixels, which Pillow does not say or does not heed."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from PIL import TiffImagePlugin

from dacbn.datasets.packed import ImageFile

Tags: TypeAlias = Mapping[int, Any]
NO_TAGS: Tags = {}

BITS, COMPRESSION, PHOTOMETRIC, BANDS, PLANES = 258, 259, 262, 277, 284
EXTRA_BANDS, SAMPLE_FORMAT = 338, 339
UNCOMPRESSED, SEPARATE = 1, 2
WHITE_IS_ZERO, ASSOCIATED_ALPHA, SIGNED = 0, 1, 2
KINDS = {2: "signed", 3: "float", 5: "complex", 6: "complex"}
MEANINGS = {
    0: "white is zero",
    1: "black is zero",
    2: "RGB",
    3: "a palette",
    5: "print colours",
    6: "YCbCr",
    8: "Lab",
    32803: "a colour filter array",
    34892: "linear raw",
}


def has_alpha(tags: Tags) -> bool:
    """Return whether a band is alpha; only associated alpha is, as every other band may be it."""
    return ASSOCIATED_ALPHA in tags.get(EXTRA_BANDS, ())


def is_misread(tags: Tags) -> bool:
    """Return whether Pillow takes the bytes of these pixels for others.

    It reads uncompressed bands in planes of their own as 8 bits, whatever the tags say.
    """
    in_planes = tags.get(PLANES) == SEPARATE and tags.get(BANDS, 1) > 1
    uncompressed = tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
    return in_planes and uncompressed and max(tags.get(BITS, (1,))) > 8


def describe(tags: Tags, big_endian: bool = False) -> str:
    """Describe pixels that Pillow does not read, and say what it reads."""
    bands, meaning = tags.get(BANDS, 1), tags.get(PHOTOMETRIC, -1)
    compression = tags.get(COMPRESSION, UNCOMPRESSED)
    kind = KINDS.get(tags.get(SAMPLE_FORMAT, (1,))[0], "whole-number")
    parts = [f"{bands} band{'s' * (bands > 1)} of {tags[BITS][0]}-bit {kind} pixels"]
    parts.append(MEANINGS.get(meaning, f"photometric {meaning}"))
    if tags.get(PLANES) == SEPARATE and bands > 1:
        parts.append("in separate planes")
    if compression != UNCOMPRESSED:
        name = TiffImagePlugin.COMPRESSION_INFO.get(compression, compression)
        parts.append(f"compression {str(name).removeprefix('tiff_')}")
    if big_endian:
        parts.append("big-endian")
    return (
        f"{', '.join(parts)}: Pillow does not read this TIFF; store 1 band, black is zero, or 3 "
        "interleaved RGB bands, of 8 bits"
    )


def describe_file(path: ImageFile) -> str | None:
    """Describe the pixels of a TIFF that Pillow does not read; None for other files."""
    try:
        with path.open("rb") as file:
            header = file.read(8)
            if 43 in header[2:4]:  # BigTIFF
                header += file.read(8)
            tags = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(tags.next)
            tags.load(file)
        return describe(tags, header.startswith(b"MM"))
    except Exception:  # no TIFF, or a broken one
        return None
