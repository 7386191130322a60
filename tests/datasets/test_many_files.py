"""Many image files are decoded at once; each fault is said once, with its reason."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from dacbn.datasets.many_files import decode_each, report_unreadable


def save(image, path, **options):
    image.save(path, **options)
    return path


def broken_files(folder):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    paths = []
    for suffix in ("jpg", "png", "bmp", "webp"):
        path = save(Image.fromarray(noise), folder / f"cut.{suffix}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        paths.append(path)
    for name, content in [("text.jpg", b"hello"), ("empty.png", b"")]:
        (folder / name).write_bytes(content)
        paths.append(folder / name)
    return paths


@pytest.mark.parametrize("keep", [True, False])
def test_broken_files_are_found_and_the_others_read(tmp_path, keep):
    good = [save(Image.new("L", (8, 8), value), tmp_path / f"{value}.png") for value in (10, 20)]
    paths = [good[0], *broken_files(tmp_path), good[1]]
    with pytest.warns(UserWarning, match="6 images are unreadable"):
        reasons, pixels = decode_each(paths, 8, keep)
    assert [reason is None for reason in reasons] == [True] + [False] * 6 + [True]
    assert pixels[:, 0, 0, 0].tolist() == ([10, 20] if keep else [])


def test_unreadable_files_are_named_up_to_five(tmp_path):
    paths = [(tmp_path / f"{i}.png", "cut short") for i in range(7)]
    with pytest.warns(UserWarning, match="7 images are unreadable") as caught:
        report_unreadable(paths, "skip")
    assert [f"{path} (cut short)" in str(caught[0].message) for path, _ in paths] == [True] * 5 + [
        False
    ] * 2


def test_unreadable_files_are_refused_on_request_with_the_cure(tmp_path):
    with pytest.raises(
        ValueError, match=r"1 image is unreadable.*a\.png \(empty\); replace.*=\'skip\'"
    ):
        report_unreadable([(tmp_path / "a.png", "empty")], "raise")


def test_nothing_unreadable_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report_unreadable([], "raise")


def test_the_reason_of_the_decoder_is_told(tmp_path):
    path = save(Image.fromarray(np.full((4, 4), 7, np.float32)), tmp_path / "x.tif")
    with pytest.warns(UserWarning, match=r"x\.tif \(float images range from 7 to 7: scale"):
        decode_each([path], 4, True)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.warns(UserWarning, match=r"x\.png \(not a regular file\)"):
        assert decode_each([tmp_path / "x.png"], 4, True)[0] == ["not a regular file"]


@pytest.mark.parametrize("top", [1023, 4095, 10000])
def test_a_domain_that_uses_little_of_its_16_bits_is_named(tmp_path, top):
    values = np.array([[0, top // 4, top // 2, top]] * 4, np.uint16)
    paths = [save(Image.fromarray(values), tmp_path / f"a.{kind}") for kind in ("png", "tif")]
    if top >= 4096:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decode_each(paths, 4, True)
        return
    with pytest.warns(UserWarning, match=rf"values up to {top} of 65535 only .* nearly black"):
        pixels = decode_each(paths, 4, True)[1]
    assert pixels[:, 0, 0].tolist() == [[0, top // 4 >> 8, top // 2 >> 8, top >> 8]] * 2


def test_one_bright_image_shows_that_the_domain_uses_its_range(tmp_path):
    paths = [
        save(Image.fromarray(np.full((4, 4), value, np.uint16)), tmp_path / f"{value}.png")
        for value in (100, 60000)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = decode_each(paths, 4, True)[1]
    assert pixels[:, 0, 0, 0].tolist() == [0, 234]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_eight_bits_may_be_dark_without_a_word(tmp_path, mode):
    path = save(Image.new(mode, (16, 16), 0), tmp_path / "night.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode_each([path], 16, True)


def test_pages_are_said(tmp_path):
    pages = [Image.new("L", (4, 4), value) for value in (10, 200)]
    path = save(pages[0], tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match=r"1 image has 2 pages.*first is read: .*a\.tif"):
        assert decode_each([path], 4, True)[1].unique().tolist() == [10]
