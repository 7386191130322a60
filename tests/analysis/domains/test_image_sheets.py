"""Sheets of what training looks at."""

import numpy as np
import pytest

from dacbn.analysis import compute_views, draw_views
from dacbn.datasets import unlabelled

IMAGES = unlabelled(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)).images


def test_the_first_row_shows_the_images_and_the_second_moves_them():
    plain, moved = compute_views(IMAGES, "digits", 5)
    shown = {(255 * image).round().astype(int).tobytes() for image in plain}
    real = {image.permute(1, 2, 0).numpy().astype(int).tobytes() for image in IMAGES.pixels}
    assert shown == real
    assert abs(plain - moved).max() > 0.1


def test_a_sheet_of_few_images_is_short_and_repeats():
    first, again = (compute_views(IMAGES, "digits", 12) for _ in range(2))
    assert first.shape == (2, 5, 8, 8, 3) and np.array_equal(first, again)


def test_without_augmentation_both_rows_are_the_same():
    plain, moved = compute_views(IMAGES, "none", 3)
    assert np.array_equal(plain, moved)


@pytest.mark.parametrize("count", [1, 2])
def test_the_files_hold_a_sheet_of_each_domain(tmp_path, count):
    domains = {f"target: photos/{number}": IMAGES for number in range(count)}
    (png,) = draw_views(domains, "photos", tmp_path / "figures").figures
    assert png.stat().st_size > 1000 and png.with_suffix(".svg").stat().st_size > 1000
    with np.load(png.with_suffix(".npz")) as arrays:
        assert set(arrays.files) == set(domains)
        expected = compute_views(IMAGES, "photos", 12)
        assert all(np.array_equal(arrays[name], expected) for name in domains)
