"""A table of small files and arrays: one row each, values in, grey levels out, or the refusal."""

import struct

import numpy as np
import pytest
import torch
from PIL import Image
from small_tiffs import pack_12_bits, write_tiff

from dacbn.datasets import unlabelled
from dacbn.datasets.decoding import SUFFIXES, read_picture
from dacbn.datasets.images import FileImages

COLOUR = (200, 50, 30)


def grey(values, dtype):
    return np.array([values] * len(values)).astype(dtype)


def pillow(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def write_pgm(path, row, top):
    header = f"P5 {len(row)} {len(row)} {top}\n".encode()
    path.write_bytes(header + np.array([row] * len(row), ">u2").tobytes())
    return path


# name: (how it is written, the first row of grey levels)
GREYS = {
    "8 bits png": (lambda p: pillow(p / "a.png", grey([0, 1, 128, 255], "u1")), [0, 1, 128, 255]),
    "8 bits tiff": (lambda p: write_tiff(p / "a.tif", grey([0, 9], "u1")), [0, 9]),
    "inverted 8 bits": (
        lambda p: write_tiff(p / "a.tif", grey([0, 9], "u1"), photometric=0),
        [255, 246],
    ),
    "1 bit": (lambda p: pillow(p / "a.png", grey([0, 1, 1, 0], bool)), [0, 255, 255, 0]),
    "16 bits png": (
        lambda p: pillow(p / "a.png", grey([0, 255, 256, 65535], "u2")),
        [0, 0, 1, 255],
    ),
    "16 bits tiff": (
        lambda p: pillow(p / "a.tif", grey([0, 255, 256, 65535], "u2")),
        [0, 0, 1, 255],
    ),
    "16 bits pgm": (
        lambda p: pillow(p / "a.pgm", grey([0, 255, 256, 65535], "u2")),
        [0, 0, 1, 255],
    ),
    "12 bits pgm": (lambda p: write_pgm(p / "a.pgm", [0, 2048, 4095], 4095), [0, 128, 255]),
    "inverted 16 bits": (
        lambda p: write_tiff(p / "a.tif", grey([0, 65535], "u2"), photometric=0),
        [255, 0],
    ),
    "12 bits declared": (
        lambda p: write_tiff(
            p / "a.tif", grey([0, 4095], "u2"), bits=12, data=pack_12_bits([0, 4095] * 2)
        ),
        [0, 255],
    ),
    "floats to 1": (lambda p: pillow(p / "a.tif", grey([0, 0.5, 1], "f4")), [0, 128, 255]),
    "floats and rounding": (lambda p: pillow(p / "a.tif", grey([0, 1.000001], "f4")), [0, 255]),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_files(name, tmp_path):
    """Pillow 13.0.0 inverts a TIFF in which white is zero if it has 8 bits, but not if it has 16.

    Seen by opening both; TIFF 6.0 defines PhotometricInterpretation without regard to the bits.
    """
    write, wanted = GREYS[name]
    pixels = read_picture(write(tmp_path), len(wanted)).pixels
    assert pixels[:, 0].tolist() == [wanted] * 3


REFUSED = {
    "32 bits": (grey([0, 40000, 70000, 131071], "i4"), "32-bit whole numbers"),
    "32 bits that would fit 16": (grey([0, 5], "u4"), "32-bit whole numbers"),
    "signed 16 bits": (grey([-3, 5], "i2"), "signed or 32-bit"),
    "signed 8 bits": (grey([-3, 5], "i1"), "signed or 32-bit"),
    "floats to 255": (grey([0, 255], "f4"), r"float images range from 0 to 255: scale"),
    "NaN": (grey([0, np.nan], "f4"), "float images range from nan"),
    "64-bit floats": (grey([0, 1], "f8"), "1 band of 64-bit float pixels"),
    "5 bands": (np.zeros((4, 4, 5), "u1"), "5 bands of 8-bit whole-number pixels"),
    "13 bands": (np.zeros((4, 4, 13), "u1"), "13 bands of 8-bit whole-number pixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_without_a_known_range_are_refused_with_the_reason(name, tmp_path):
    """Pillow 13.0.0 opens a TIFF of signed 8 bits as unsigned: -3 becomes 253.

    Seen by opening one; TIFF 6.0 marks it by SampleFormat 2, which Pillow leaves in `tag_v2`.
    """
    pixels, reason = REFUSED[name]
    path = write_tiff(tmp_path / "a.tif", pixels)
    with pytest.raises(ValueError, match=reason) as caught:
        read_picture(path, 4)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("extra", [[0], [2], []], ids=["unknown", "unassociated", "undeclared"])
def test_the_fourth_band_of_a_tiff_is_not_alpha(extra, tmp_path):
    """Pillow 13.0.0 takes a fourth band for alpha where nothing declares it (no ExtraSamples).

    It does so as well where it is declared unassociated alpha, and tifffile declares every fourth
    band so by default. Seen by opening both kinds.
    """
    pixels = np.full((4, 4, 4), (*COLOUR, 10), "u1")
    picture = read_picture(write_tiff(tmp_path / "a.tif", pixels, photometric=2, extra=extra), 4)
    assert picture.pixels[:, 0, 0].tolist() == list(COLOUR)
    assert "4 bands, of which 3 are read" in picture.note


def test_an_associated_alpha_is_alpha(tmp_path):
    half = np.full((4, 4, 4), (100, 25, 15, 128), "u1")  # premultiplied
    picture = read_picture(write_tiff(tmp_path / "a.tif", half, photometric=2, extra=[1]), 4)
    wanted = [100 + 127, 25 + 127, 15 + 127]  # over white
    assert np.abs(picture.pixels[:, 0, 0].numpy() - np.array(wanted)).max() <= 1
    assert picture.note is None


def test_16_bits_of_fits_have_a_sign(tmp_path):
    """Pillow 13.0.0 reads -3 of a FITS file as 65533.

    Seen by opening one; the FITS standard 4.0, 4.4.1.1, gives whole numbers of 16 bits a sign.
    """
    cards = ["SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 2", "NAXIS2  = 2", "END"]
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    (tmp_path / "a.fits").write_bytes(header + grey([-3, 5], ">i2").tobytes().ljust(2880, b"\0"))
    with pytest.raises(ValueError, match="signed or 32-bit whole numbers"):
        read_picture(tmp_path / "a.fits", 2)


def test_colours_of_16_bits_in_sgi_may_be_too_dark(tmp_path):
    header = struct.pack(">HBBHHHHii", 474, 0, 2, 3, 2, 2, 3, 0, 65535).ljust(512, b"\0")
    (tmp_path / "a.sgi").write_bytes(header + np.full(12, 2560, ">u2").tobytes())
    assert read_picture(tmp_path / "a.sgi", 2).peak == 10


def test_colours_of_16_bits_are_scaled_and_may_be_too_dark(tmp_path):
    pixels = np.full((4, 4, 3), (1000, 2000, 4095), "u2")
    picture = read_picture(write_tiff(tmp_path / "a.tif", pixels, photometric=2), 4)
    assert picture.pixels[:, 0, 0].tolist() == [3, 7, 15] and picture.peak == 15


def test_print_colours_and_a_band_more_are_said(tmp_path):
    pixels = np.full((4, 4, 5), (0, 0, 0, 0, 99), "u1")
    picture = read_picture(write_tiff(tmp_path / "a.tif", pixels, photometric=5, extra=[0]), 4)
    assert picture.pixels.min() > 250 and picture.note == "5 bands, of which 4 are read"


def test_a_second_band_is_said(tmp_path):
    pixels = np.full((4, 4, 2), (40, 99), "u1")
    picture = read_picture(write_tiff(tmp_path / "a.tif", pixels, extra=[0]), 4)
    assert picture.pixels.unique().tolist() == [40]
    assert picture.note == "2 bands, of which 1 are read"


ARRAYS = {
    "uint8": (grey([0, 1, 255], "u1"), [0, 1, 255]),
    "uint16": (grey([0, 256, 65535], "u2"), [0, 1, 255]),
    "uint16 of the other byte order": (grey([0, 256, 65535], ">u2"), [0, 1, 255]),
    "float32": (grey([0, 0.5, 1], "f4"), [0, 128, 255]),
    "float of the other byte order": (grey([0, 0.5, 1], ">f4"), [0, 128, 255]),
    "rounding": (grey([-1e-6, 0.5, 1.000001], "f8"), [0, 128, 255]),
    "reversed": (grey([255, 1, 0], "u1")[:, ::-1], [0, 1, 255]),
    "masked nothing": (np.ma.array(grey([0, 1, 255], "u1")), [0, 1, 255]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_follow_the_rule_of_files(name):
    values, wanted = ARRAYS[name]
    assert (
        unlabelled(values[None]).images.gather(torch.tensor([0]))[0, :, 0].tolist() == [wanted] * 3
    )


def test_the_channels_of_opencv_may_be_turned():
    blue = np.zeros((1, 2, 2, 3), np.uint8)
    blue[..., 0] = 255
    assert unlabelled(blue[..., ::-1]).images.pixels[0, :, 0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (grey([0, 5], "i2"), "int16 have no known range"),
        (grey([0, 70000], ">i4"), "int32 have no known range"),
        (grey([0, 1.01], "f8"), r"range from 0 to 1\.01"),
        (grey([0, 1], object), "images of dtype object: pass uint8"),
        (np.zeros((4, 0), "u1"), r"no pixels, in an array of shape \(1, 4, 0\)"),
        (
            np.ma.array(grey([0, 5], "u1"), mask=[[1, 0], [0, 0]]),
            "1 values of the images are masked",
        ),
    ],
)
def test_other_arrays_are_refused(values, reason):
    with pytest.raises(ValueError, match=reason):
        unlabelled(values[None])


def test_a_dark_array_of_16_bits_is_said():
    with pytest.warns(UserWarning, match="values up to 4095 of 65535 only"):
        unlabelled(grey([0, 4095], "u2")[None])


@pytest.mark.parametrize("suffix", [".jfif", ".tga", ".jp2", ".png", ".pnm", ".mpo", ".ico"])
def test_what_pillow_decodes_is_read(suffix, tmp_path):
    assert suffix in SUFFIXES and ".eps" not in SUFFIXES
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (16, 16), COLOUR).save(path)
    pixels = read_picture(path, 8).pixels[:, 4, 4]
    assert np.abs(pixels.numpy().astype(int) - COLOUR).max() < 8


def test_a_file_that_breaks_while_it_is_used_is_named(tmp_path):
    path = pillow(tmp_path / "a.png", grey([0, 1], "u1"))
    images = FileImages((path,), 2)
    path.write_bytes(b"gone")
    with pytest.raises(ValueError, match=r"a\.png cannot be read as an image: no image format"):
        images.gather(torch.tensor([0]))
