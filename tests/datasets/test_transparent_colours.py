"""The one transparent colour of a PNG."""

import struct
import zlib

import pytest
from library_files import planes, raster

from dacbn.datasets.decoding import read_picture

RED = (200, 50, 30)
DEEP_RED = (0x1280, 0x3490, 0xF010)
HIGH_BYTES = (0x12, 0x34, 0xF0)


def with_key(write, *levels):
    """Return what writes a PNG in which this colour is transparent."""

    def keyed(folder):
        path = write(folder)
        name_and_key = b"tRNS" + struct.pack(f">{len(levels)}H", *levels)
        size, check = (struct.pack(">I", n) for n in (2 * len(levels), zlib.crc32(name_and_key)))
        content = path.read_bytes()  # its signature and the chunk IHDR are 33 bytes
        path.write_bytes(content[:33] + size + name_and_key + check + content[33:])
        return path

    return keyed


@pytest.mark.parametrize(
    ("pixels", "key", "bits"),
    [
        (planes([8]), [8], {"NBITS": 4}),
        (planes([700], "u2"), [700], {}),
        (planes(DEEP_RED, "u2"), DEEP_RED, {}),
        (planes(DEEP_RED, "u2"), HIGH_BYTES, {}),
    ],
    ids=["4 bits", "16 bits", "16 bits of colour", "another colour"],
)
def test_a_transparent_colour_of_other_bits_than_8_is_shown(pixels, key, bits, tmp_path):
    """Pillow 13.0.0 compares a key of a PNG with pixels that it has scaled to 8 bits.

    So the key is not found, or found where the high bytes alone agree. Seen by opening such files;
    by the PNG specification, 11.3.2.1, all bits of the samples are compared.
    """
    plain = raster(pixels, "PNG", ".png", **bits)
    shown = read_picture(plain(tmp_path), 8)
    read = read_picture(with_key(plain, *key)(tmp_path), 8)
    assert read.pixels.equal(shown.pixels)
    assert read.note == "a transparent colour that is shown as it is"


def test_a_transparent_colour_of_8_bits_is_white(tmp_path):
    write = with_key(raster(planes(RED), "PNG", ".png"), *RED)
    assert read_picture(write(tmp_path), 8).pixels.unique().tolist() == [255]
