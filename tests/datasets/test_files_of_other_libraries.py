"""Small files made by each format's own library: one row each, value in, value or refusal out."""

import numpy as np
import pytest
from library_files import colour, dicom, grey, jpeg2000, picture, planes, raster, tiff
from PIL import Image

from dacbn.datasets import labelled, unlabelled
from dacbn.datasets.decoding import read_picture
from dacbn.datasets.pixels import darkness

RED = (200, 50, 30)
DEEP_RED = (0x1280, 0x3490, 0xF010)  # whose high bytes are not their low ones
HIGH_BYTES = [0x12, 0x34, 0xF0]
DEEP = [0, 255, 256, 65535]
FIRST_OF_3 = "3 pages or frames, of which the first is read"


def frames(suffix, **options):
    images = np.stack([colour((level,) * 3) for level in (10, 200, 100)])
    return picture(images, suffix, **options)


def print_colours(folder):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(folder / "a.jpg", quality=100)
    return folder / "a.jpg"


# name: (what writes it, the first row of grey levels)
GREYS = {
    "tiff, 8 bits": (tiff(grey([0, 1, 128, 255], "u1")), [0, 1, 128, 255]),
    "tiff, 16 bits": (tiff(grey(DEEP, "u2")), [0, 0, 1, 255]),
    "tiff, big-endian": (tiff(grey(DEEP, "u2"), byteorder=">"), [0, 0, 1, 255]),
    "tiff, 64-bit offsets": (tiff(grey(DEEP, "u2"), bigtiff=True), [0, 0, 1, 255]),
    "tiff, zlib": (tiff(grey(DEEP, "u2"), compression="zlib", predictor=True), [0, 0, 1, 255]),
    "tiff, 16 bits, white is zero": (
        tiff(grey(DEEP, "u2"), photometric="miniswhite"),
        [255, 255, 254, 0],
    ),
    "tiff, floats": (tiff(grey([0, 0.25, 0.5, 1], "f4")), [0, 64, 128, 255]),
    "tiff, floats, white is zero": (
        tiff(grey([0, 0.25, 0.5, 1], "f4"), photometric="miniswhite"),
        [255, 191, 128, 0],
    ),
    "tiff, tiles": (tiff(np.full((32, 32), 51200, "u2"), tile=(16, 16)), [200] * 4),
    "geotiff, 1 bit": (raster(grey([0, 1, 1, 0], "u1")[None], nbits=1), [0, 255, 255, 0]),
    "geotiff, 2 bits": (raster(grey([0, 1, 2, 3], "u1")[None], nbits=2), [0, 85, 170, 255]),
    "geotiff, 4 bits, white is zero": (
        raster(grey([0, 1, 8, 15], "u1")[None], nbits=4, photometric="miniswhite"),
        [255, 238, 119, 0],
    ),
    "geotiff, 12 bits": (raster(grey([0, 16, 2048, 4095], "u2")[None], nbits=12), [0, 1, 128, 255]),
    "geotiff, 16 bits": (raster(grey(DEEP, "u2")[None], compress="lzw"), [0, 0, 1, 255]),
    "geotiff, floats": (
        raster(grey([0, 0.25, 0.5, 1], "f4")[None], compress="lzw", predictor=3),
        [0, 64, 128, 255],
    ),
    "jpeg 2000, 8 bits": (jpeg2000(grey([0, 1, 128, 255], "u1")[None]), [0, 1, 128, 255]),
    "jpeg 2000, 12 bits": (
        jpeg2000(grey([0, 16, 2048, 4095], "u2")[None], NBITS=12),
        [0, 1, 128, 255],
    ),
    "jpeg 2000, 16 bits": (jpeg2000(grey(DEEP, "u2")[None]), [0, 0, 1, 255]),
    "png, 8 bits": (picture(grey([0, 1, 128, 255], "u1"), ".png"), [0, 1, 128, 255]),
    "png, 16 bits": (picture(grey(DEEP, "u2"), ".png"), [0, 0, 1, 255]),
    "png, 16 bits of GDAL": (raster(grey(DEEP, "u2")[None], "PNG", ".png"), [0, 0, 1, 255]),
    "pgm, 16 bits of GDAL": (raster(grey(DEEP, "u2")[None], "PNM", ".pgm"), [0, 0, 1, 255]),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_levels(name, tmp_path):
    """Pillow 13.0.0 inverts a TIFF in which white is zero if it has 8 bits, but no floats.

    Seen by opening both; TIFF 6.0 defines PhotometricInterpretation without regard to the type.
    """
    write, wanted = GREYS[name]
    read = read_picture(write(tmp_path), 4)
    assert read.pixels[:, 0].tolist() == [wanted] * 3 and read.note is None


WRITTEN_PALETTE = np.zeros((3, 256), "u2")
WRITTEN_PALETTE[:, 7] = np.array(RED) * 257
RGB = ["red", "green", "blue"]
ALPHA = [*RGB, "alpha"]
PLANES = {"photometric": "rgb", "planarconfig": "separate"}
# name: (what writes it, the colour, what is said to be left out)
COLOURS = {
    "tiff": (tiff(colour(RED), photometric="rgb"), RED, None),
    "tiff, planes": (tiff(planes(RED), **PLANES), RED, None),
    "tiff, 16 bits": (tiff(colour(DEEP_RED, "u2"), photometric="rgb"), HIGH_BYTES, None),
    "tiff, 16 bits in zipped planes": (
        tiff(planes(DEEP_RED, "u2"), compression="zlib", **PLANES),
        HIGH_BYTES,
        None,
    ),
    "tiff, palette": (
        tiff(grey([7] * 4, "u1"), photometric="palette", colormap=WRITTEN_PALETTE),
        RED,
        None,
    ),
    "tiff, print colours": (
        tiff(colour((0, 255, 255, 0)), photometric="separated"),
        (255, 0, 0),
        None,
    ),
    "tiff, alpha of tifffile": (
        tiff(colour((*RED, 10)), photometric="rgb"),
        RED,
        "4 bands, of which 3 are read",
    ),
    "tiff, pages": (
        tiff(np.stack([grey([level] * 4, "u1") for level in (10, 200, 90)]), photometric=1),
        (10, 10, 10),
        FIRST_OF_3,
    ),
    "geotiff, near-infrared": (
        raster(planes((*RED, 10)), photometric="rgb"),
        RED,
        "4 bands, of which 3 are read",
    ),
    "geotiff, palette": (
        raster(planes([7]), photometric="palette", palette={7: (*RED, 255)}),
        RED,
        None,
    ),
    "jpeg 2000": (jpeg2000(planes(RED), colours=RGB), RED, None),
    "jpeg 2000, 16 bits": (jpeg2000(planes(DEEP_RED, "u2"), colours=RGB), HIGH_BYTES, None),
    "jpeg 2000, alpha": (jpeg2000(planes((*RED, 0)), colours=ALPHA), (255, 255, 255), None),
    "jpeg 2000, near-infrared": (
        jpeg2000(planes((*RED, 10))),
        RED,
        "4 bands, of which 3 are read",
    ),
    "jpeg 2000, 2 bands": (
        jpeg2000(planes((200, 50))),
        (200, 200, 200),
        "2 bands, of which 1 are read",
    ),
    "png, 16 bits": (raster(planes(DEEP_RED, "u2"), "PNG", ".png"), HIGH_BYTES, None),
    "gif": (frames(".gif"), (10, 10, 10), FIRST_OF_3),
    "apng": (frames(".png", is_batch=True), (10, 10, 10), FIRST_OF_3),
    "webp": (frames(".webp", is_batch=True, lossless=True), (10, 10, 10), FIRST_OF_3),
    "jpeg, print colours": (print_colours, (254, 0, 0), None),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours(name, tmp_path):
    """Pillow 13.0.0 takes every fourth band of a JPEG 2000, and every second, for alpha.

    Seen by opening files without a box `cdef`, which by ISO/IEC 15444-1, I.5.3.6, declares alpha.
    """
    write, wanted, note = COLOURS[name]
    read = read_picture(write(tmp_path), 8)
    assert read.pixels[:, 4, 4].tolist() == pytest.approx(list(wanted), abs=1)
    assert read.note == note


SIGNED = "signed or 32-bit whole numbers have no known range"
IN_PLANES = "3 bands of 16-bit whole-number pixels, RGB, in separate planes: Pillow does not read"
REFUSED = {
    "tiff, signed 8 bits": (tiff(grey([-3, 5], "i1")), SIGNED),
    "tiff, signed 16 bits": (tiff(grey([-3, 5], "i2")), SIGNED),
    "tiff, 32 bits": (tiff(grey([0, 70000], "u4")), SIGNED),
    "tiff, signed 32 bits": (tiff(grey([0, 70000], "i4")), SIGNED),
    "tiff, short floats": (tiff(grey([0, 1], "f2")), "1 band of 16-bit float pixels"),
    "tiff, complex": (tiff(grey([0, 1], "c8")), "1 band of 64-bit complex pixels"),
    "tiff, white is zero, big-endian": (
        tiff(grey(DEEP, "u2"), photometric="miniswhite", byteorder=">"),
        "1 band of 16-bit whole-number pixels, white is zero, big-endian",
    ),
    "tiff, 64-bit offsets, floats": (
        tiff(grey([0, 1], "f8"), bigtiff=True),
        "1 band of 64-bit float pixels",
    ),
    "tiff, 16 bits in planes": (tiff(planes(DEEP_RED, "u2"), **PLANES), IN_PLANES),
    "tiff, 16 bits in tiles of planes": (
        tiff(planes(DEEP_RED, "u2", 32), tile=(16, 16), **PLANES),
        IN_PLANES,
    ),
    "tiff, alpha in planes": (
        tiff(planes((*RED, 10)), extrasamples=["assocalpha"], **PLANES),
        "4 bands of 8-bit whole-number pixels, RGB, in separate planes",
    ),
    "tiff, sensor": (
        tiff(grey(DEEP, "u2"), photometric="cfa"),
        "1 band of 16-bit whole-number pixels, a colour filter array",
    ),
    "tiff, 16-bit palette": (
        tiff(grey([7] * 4, "u2"), photometric="palette", colormap=np.zeros((3, 65536), "u2")),
        "1 band of 16-bit whole-number pixels, a palette",
    ),
    "tiff, signed colours": (
        tiff(colour(RED, "i2"), photometric="rgb"),
        "3 bands of 16-bit signed pixels, RGB",
    ),
    "geotiff, 10 bits": (
        raster(grey([0, 1023], "u2")[None], nbits=10),
        "1 band of 10-bit whole-number pixels",
    ),
    "geotiff, no data": (
        raster(grey([0, -9999], "f4")[None], nodata=-9999),
        "float images range from -9999 to 0",
    ),
    "geotiff, 13 bands": (
        raster(planes([9] * 13, "u2")),
        "13 bands of 16-bit whole-number pixels, black is zero",
    ),
    "geotiff, lerc": (
        raster(planes([9]), compress="lerc"),
        "1 band of 8-bit whole-number pixels, black is zero, compression 34887",
    ),
    "jpeg 2000, signed": (jpeg2000(grey([-300, 0, 5, 3000], "i2")[None]), SIGNED),
    "jpeg 2000, 3 bands without colours": (
        jpeg2000(planes(RED)),
        "3 bands that this JPEG 2000 declares grey: declare sRGB",
    ),
    "dicom, 8 bits": (dicom(grey([0, 255], "u1")), "DICOM, which Pillow does not read: save"),
    "dicom, white is zero": (dicom(grey([0, 255], "u1"), "MONOCHROME1"), "DICOM, which Pillow"),
    "dicom, 12 bits": (dicom(grey([0, 4095], "u2"), bits=12), "DICOM, which Pillow"),
    "dicom, rescaled": (
        dicom(grey([-3, 5], "i2"), RescaleSlope=1, RescaleIntercept=-1024),
        "DICOM, which Pillow",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_the_file_holds(name, tmp_path):
    """Pillow 13.0.0 reads 16 bits of uncompressed planes as 8, so pixels come out as half-bytes.

    Seen by opening a TIFF whose high and low bytes differ; compressed planes it reads rightly. And
    it adds half of the range to signed pixels of JPEG 2000, without a word.
    """
    write, reason = REFUSED[name]
    path = write(tmp_path)
    with pytest.raises(ValueError, match=reason) as caught:
        read_picture(path, 4)
    assert str(caught.value).startswith(f"{path} cannot be read") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "write",
    [
        tiff(colour((0, 256, 4095), "u2"), photometric="rgb"),
        raster(planes((0, 256, 4095), "u2"), "PNG", ".png"),
        raster(planes((0, 256, 4095), "u2"), "PNM", ".ppm"),
        jpeg2000(planes((0, 256, 4095), "u2"), colours=RGB),
    ],
    ids=["tiff", "png", "ppm", "jpeg 2000"],
)
def test_12_bits_in_16_are_said_to_be_dark(write, tmp_path):
    """Pillow 13.0.0 rounds colours of JPEG 2000 to 8 bits, others it cuts off. Seen by opening."""
    peak = read_picture(write(tmp_path), 8).peak
    assert peak in (15, 16) and "nearly black" in darkness(peak)


def test_pixels_of_dicom_as_arrays(tmp_path):
    """12 bits in 16 are nearly black, which is said; values of the modality have no known range."""
    pydicom = pytest.importorskip("pydicom")
    deep = pydicom.dcmread(dicom(grey([0, 4095], "u2"), bits=12)(tmp_path)).pixel_array
    with pytest.warns(UserWarning, match="values up to 4095 of 65535 only"):
        assert unlabelled(deep[None]).images.pixels[0, 0, 0].tolist() == [0, 15]
    write = dicom(grey([-3, 5], "i2"), RescaleSlope=1, RescaleIntercept=-1024)
    scanned = pydicom.dcmread(write(tmp_path))
    with pytest.raises(ValueError, match="int16 have no known range"):
        unlabelled(scanned.pixel_array[None])
    with pytest.raises(ValueError, match="float images range from -1027 to -1019"):
        unlabelled(pydicom.pixels.apply_modality_lut(scanned.pixel_array, scanned)[None])


def test_arrays_of_rasterio(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = raster(grey([0, 7], "u1")[None], transform=rasterio.Affine(1, 0, 0, 0, -1, 2), nodata=7)
    with rasterio.open(path(tmp_path)) as file:
        assert labelled(file.read(), [3]).images.pixels[0, :, 0].tolist() == [[0, 7]] * 3
        with pytest.raises(ValueError, match="2 values of the images are masked: fill them"):
            unlabelled(file.read(masked=True))
