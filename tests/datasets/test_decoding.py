"""Image files of every format and colour mode."""

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets.decoding import decode
from dacbn.datasets.fitting import make_square

RED = (200, 30, 60)


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_grey_becomes_three_equal_channels(tmp_path):
    image = decode(save(Image.new("L", (8, 8), 77), tmp_path / "a.png"), 8)
    assert (
        image.dtype == torch.uint8 and image.shape == (3, 8, 8) and image.unique().tolist() == [77]
    )


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.new("RGB", (8, 8), RED).convert("P", palette=Image.Palette.ADAPTIVE)
    assert decode(save(image, tmp_path / "a.png"), 8)[:, 3, 3].tolist() == list(RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_white(tmp_path, mode):
    image = Image.new(mode, (8, 8), 0)
    assert decode(save(image, tmp_path / "a.png"), 8).unique().tolist() == [255]


def test_a_transparent_palette_shows_white_and_does_not_warn(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 200, 30, 60])
    image.putpixel((4, 4), 1)
    path = save(image, tmp_path / "a.png", transparency=bytes([0, 255]))
    pixels = decode(path, 8)
    assert pixels[:, 0, 0].tolist() == [255] * 3 and pixels[:, 4, 4].tolist() == list(RED)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    values = np.array([[0, 256, 32768, 65535]] * 4, dtype=np.uint16)
    path = save(Image.fromarray(values), tmp_path / f"a.{suffix}")
    assert decode(path, 4)[0, 0].tolist() == [0, 1, 128, 255]


def test_print_colours_become_rgb(tmp_path):
    image = decode(save(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), tmp_path / "a.jpg"), 8)
    assert image.min() > 250


@pytest.mark.parametrize(("width", "height"), [(40, 16), (16, 40), (400, 160)])
def test_the_centre_is_kept_and_not_squeezed(tmp_path, width, height):
    stripes = np.zeros((height, width), np.uint8)
    middle, half = (np.array([height, width]) // 2).tolist(), min(width, height) // 2
    stripes[middle[0] - half : middle[0] + half, middle[1] - half : middle[1] + half] = 255
    image = decode(save(Image.fromarray(stripes), tmp_path / "a.png"), 16)
    assert image[:, 1:-1, 1:-1].min() == 255  # the outermost pixels blend with what is cut off
    assert image.min() > 200


def test_a_photograph_taken_sideways_is_turned_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter to the right
    path = save(Image.fromarray(pixels), tmp_path / "a.jpg", exif=exif, quality=100)
    image = decode(path, 8)[0]
    assert image[:, 7].min() > 200 and image[:, 0].max() < 50


@pytest.mark.parametrize(("side", "tolerance"), [(80, 1), (79, 0)])
def test_a_jpeg_decoded_at_lower_resolution_has_nearly_the_same_pixels(tmp_path, side, tolerance):
    coarse = np.random.default_rng(0).integers(0, 256, (5, 10, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((2 * side, side), Image.Resampling.BICUBIC)
    path = save(photo, tmp_path / "a.jpg", quality=95)
    with Image.open(path) as opened:
        whole = np.asarray(make_square(opened.convert("RGB"), 32)).transpose(2, 0, 1)
    difference = np.abs(decode(path, 32).numpy().astype(int) - whole).mean()
    assert (difference > 0) == (tolerance > 0)  # 80 is twice 5/4 of 32
    assert difference <= tolerance
