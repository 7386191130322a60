"""Random views: what they may change and what they must not."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from dacbn.datasets import strong_view, to_float, transforms, weak_view

FAMILIES = ["digits", "photos", "colour"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some_images(count=16, size=32):
    return torch.rand(count, 3, size, size, generator=seeded(9))


def test_floats_are_the_bytes_over_255():
    images = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_float(images), torch.arange(256) / 255)


def test_zero_movement_is_the_identity():
    images = some_images()
    for theta in (
        transforms._move_digits(torch.zeros(16, 6)),
        transforms._crop_photos(torch.tensor([[1.0, 0, 1, 0, 0, 0]]).expand(16, -1)),
    ):
        torch.testing.assert_close(transforms.warp(images, theta), images, atol=1e-5, rtol=0)


def test_a_mirrored_photo_is_a_flipped_photo():
    theta = transforms._crop_photos(torch.tensor([[1.0, 0, -1, 0, 0, 0]]))
    images = some_images(1)
    torch.testing.assert_close(transforms.warp(images, theta), images.flip(-1), atol=1e-5, rtol=0)


def test_a_quarter_turn_of_the_formula_is_rot90(monkeypatch):
    monkeypatch.setattr(transforms, "ROTATION", torch.pi / 2)
    theta = transforms._move_digits(torch.tensor([[1.0, 0, 0, 0, 0, 0]]))
    images = some_images(1)
    turned = transforms.warp(images, theta)
    wanted = torch.rot90(images, 1, (-2, -1))
    torch.testing.assert_close(turned, wanted, atol=1e-4, rtol=0)


def test_colour_and_sharpness_have_a_setting_that_changes_nothing():
    images = 0.3 + 0.4 * some_images(2)
    half = torch.full((2, 1, 1, 1), 0.5)
    coloured = transforms._colour(images, half, half, half.expand(2, 3, 1, 1))
    torch.testing.assert_close(coloured, images)
    torch.testing.assert_close(transforms._sharpen(images, 2 * half), images)


def test_jitter_is_that_of_torchvision_image_by_image():
    images, factors = some_images(5), 0.6 + 0.8 * torch.rand(5, 3, generator=seeded(2))
    for image, jittered, each in zip(
        images, transforms._jitter(images, factors), factors.tolist(), strict=True
    ):
        wanted = tv.adjust_brightness(image, each[0])
        wanted = tv.adjust_saturation(tv.adjust_contrast(wanted, each[1]), each[2])
        torch.testing.assert_close(jittered, wanted, atol=1e-5, rtol=0)


def test_colour_is_the_view_of_photos_in_other_colours():
    images = 0.3 + 0.3 * some_images()
    photos, colour = (weak_view(images, family, seeded()) for family in ("photos", "colour"))
    middle = [view.mean(1).flatten(1) - view.mean((1, 2, 3))[:, None] for view in (photos, colour)]
    assert torch.cosine_similarity(*middle).min() > 0.95  # clipping bends them a little
    assert (colour.mean((1, 2, 3)) / photos.mean((1, 2, 3))).std() > 0.1


def test_photo_crops_stay_inside_and_keep_half_the_area():
    draw = torch.rand(5000, 6, generator=seeded()) * 2 - 1
    theta = transforms._crop_photos(draw)
    width, height = theta[:, 0, 0].abs(), theta[:, 1, 1]
    assert (width + theta[:, 0, 2].abs()).max() <= 1 + 1e-6
    assert (height + theta[:, 1, 2].abs()).max() <= 1 + 1e-6
    assert (width * height).min() > 0.42  # an elongated crop is cut at the border
    assert 0.45 < float((theta[:, 0, 0] < 0).float().mean()) < 0.55


def test_digits_are_never_mirrored():
    theta = transforms._move_digits(torch.rand(5000, 6, generator=seeded()) * 2 - 1)
    assert torch.linalg.det(theta[:, :, :2]).min() > 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_no_black_frame_enters(family):
    views = weak_view(torch.full((64, 3, 32, 32), 0.7), family, seeded()).flatten(1)
    assert (views.amax(1) - views.amin(1)).max() < 1e-4 and views.min() > 0.4


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("view", [weak_view, strong_view])
def test_views_repeat_with_their_generator_and_stay_in_range(family, view):
    images = some_images()
    first = view(images, family, seeded(1))
    assert torch.equal(first, view(images, family, seeded(1)))
    assert not torch.equal(first, view(images, family, seeded(2)))
    assert first.shape == images.shape and first.dtype == torch.float32
    assert first.min() >= 0 and first.max() <= 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("view", [weak_view, strong_view])
def test_each_sample_gets_its_own_view(family, view):
    views = view(some_images(1).expand(8, -1, -1, -1), family, seeded())
    assert len(views.flatten(1).unique(dim=0)) == 8


@pytest.mark.parametrize("family", FAMILIES)
def test_a_strong_view_moves_nothing(family):
    """A bright dot stays where it is, or is inverted or cut out, in every sample."""
    images = torch.full((200, 3, 32, 32), 0.3)
    images[:, :, 10, 20] = 1.0
    views = strong_view(images, family, seeded()).mean(1)
    change = (views - views.flatten(1).median(dim=1).values[:, None, None]).abs()
    change[:, 5:16, 15:26] = 0  # around the dot: blur and sharpening reach that far
    fractions = (change > 1e-3).float().mean(dim=(1, 2))
    assert fractions.max() < 0.5**2 + 0.05  # nothing but the cutout square
    assert float(fractions.median()) > 0.02


def test_only_digits_are_inverted():
    images = torch.zeros(2000, 3, 8, 8)
    images[:, :, :, 4:] = 1.0

    def inverted(family):
        views = strong_view(images, family, seeded()).mean(1)
        return float((views[:, :, 0].mean(1) > views[:, :, 7].mean(1)).float().mean())

    assert inverted("photos") < 0.02
    assert 0.2 < inverted("digits") < 0.3


@pytest.mark.parametrize("view", [weak_view, strong_view])
def test_family_none_gives_the_images_themselves(view):
    images = some_images()
    assert torch.equal(view(images, "none", seeded()), images)
