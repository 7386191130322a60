"""Domains out of arrays."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from dacbn.datasets import labelled, size_of, unlabelled
from dacbn.datasets.arrays import resize

GREY = np.random.default_rng(0).integers(0, 256, (4, 6, 6), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)


def pixels_of(domain):
    return domain.images.gather(torch.arange(len(domain))).numpy()


@pytest.mark.parametrize("images", [GREY, GREY[..., None], GREY[:, None], torch.from_numpy(GREY)])
def test_grey_images_become_three_equal_channels(images):
    assert np.array_equal(pixels_of(unlabelled(images)), np.stack([GREY] * 3, axis=1))


@pytest.mark.parametrize("images", [COLOUR, COLOUR.transpose(0, 3, 1, 2), torch.from_numpy(COLOUR)])
def test_colour_images_come_out_channels_first(images):
    assert np.array_equal(pixels_of(unlabelled(images)), COLOUR.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_in_the_unit_range_survive_the_round_trip(dtype):
    assert np.array_equal(
        pixels_of(unlabelled(COLOUR.astype(dtype) / 255)), pixels_of(unlabelled(COLOUR))
    )


@pytest.mark.parametrize("size", [1, 3, 11])
def test_resizing_agrees_with_pillow(size):
    resized = pixels_of(unlabelled(COLOUR, size))
    for ours, image in zip(resized, COLOUR, strict=True):
        pillow = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        assert np.abs(ours.transpose(1, 2, 0).astype(int) - np.array(pillow).astype(int)).max() <= 1


@pytest.mark.parametrize("size", [3, 5, 11])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_resizing_is_that_of_torchvision(size, dtype):
    pixels = torch.from_numpy(COLOUR).permute(0, 3, 1, 2).to(dtype)
    wanted = tv.resize(pixels, [size, size], antialias=True)
    assert torch.equal(resize(pixels, size), wanted)


def test_images_that_are_not_square_are_resized_or_refused():
    assert pixels_of(unlabelled(GREY[:, :4], 5)).shape == (4, 3, 5, 5)
    with pytest.raises(ValueError, match="not square: pass size"):
        unlabelled(GREY[:, :4])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GREY / 2, r"scale to \[0, 1\] or pass uint8"),
        (np.full((2, 4, 4), np.nan), r"scale to \[0, 1\] or pass uint8"),
        (GREY.astype(np.int64), r"dtype torch\.int64 .* pass uint8, uint16, or float"),
        (GREY[0], r"shape \(6, 6\): pass photo\[None\] for one grey image, or rows\.reshape"),
        (np.zeros((2, 4, 4, 4), np.uint8), r"pass images\[\.\.\., :-1\], without the alpha"),
        (np.zeros((9, 8, 4), np.uint8), r"pass images\[\.\.\., :-1\], without the alpha"),
        (torch.zeros(2, 4, 8, 8), r"pass images\[:, :-1\], without the alpha"),
        (np.zeros((3, 9, 8), np.uint8), r"one in colour or three in grey: pass images\[None\] or"),
        (np.zeros((0, 8, 8), np.uint8), r"no images, or no pixels, in .* shape \(0, 8, 8\)"),
        (np.zeros((4, 8, 0), np.uint8), r"no images, or no pixels, in .* shape \(4, 8, 0\)"),
        (torch.zeros(2, 3, 8, 8).to_sparse(), r"a tensor of torch\.sparse_coo: pass a dense one"),
        (torch.zeros(2, 3, 8, 8, device="meta"), r"on the meta device: pass a dense one"),
        (np.zeros((2, 5, 5, 5), np.uint8), r"shape \(2, 5, 5, 5\): expected"),
    ],
)
def test_other_arrays_are_refused_with_the_cure(images, message):
    with pytest.raises(ValueError, match=message):
        unlabelled(images)


def test_integer_labels_name_their_classes():
    domain = labelled(GREY, [0, 2, 1, 2])
    assert domain.labels.tolist() == [0, 2, 1, 2] and domain.classes == ("0", "1", "2")


def test_names_as_labels_are_numbered_in_sorted_order():
    domain = labelled(GREY, np.array(["dog", "cat", "dog", "ant"]))
    assert domain.classes == ("ant", "cat", "dog") and domain.labels.tolist() == [2, 1, 2, 0]


def test_given_classes_keep_their_order_even_when_one_does_not_occur():
    domain = labelled(GREY, ["dog", "cat", "dog", "cat"], classes=["dog", "ant", "cat"])
    assert domain.labels.tolist() == [0, 2, 0, 2] and domain.classes == ("dog", "ant", "cat")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["dog", "cow", "cat", "cat"], r"\['cow'\] are not among the classes"),
        ([0.0, 1.0, 0.0, 1.0], "whole numbers or class names"),
        ([0, 1, 0], "one per image"),
        ([0, 1, 0, 2], "1 of 4 labels are above 1, the last of 2 classes"),
    ],
)
def test_other_labels_are_refused_with_the_cure(labels, message):
    with pytest.raises(ValueError, match=message):
        labelled(GREY, labels, classes=["dog", "cat"])


PHOTO = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)


@pytest.mark.parametrize(
    "photo",
    [PHOTO, PHOTO / 255, torch.from_numpy(PHOTO), PHOTO[None], PHOTO.transpose(2, 0, 1)[None]],
)
def test_one_photo_is_one_image(photo):
    pixels = unlabelled(photo, 6, "pad").images.gather(torch.tensor([0]))
    assert torch.equal(pixels, unlabelled(PHOTO[None], 6, "pad").images.pixels)
    assert len(unlabelled(PHOTO[..., :1], 6)) == 1 and size_of(PHOTO) == 6
    with pytest.raises(ValueError, match="images of 6 x 5 are not square: pass size to crop"):
        unlabelled(photo)


def test_the_number_of_labels_tells_three_grey_images_from_one_in_colour():
    images = np.arange(3 * 6 * 6, dtype=np.uint8).reshape(3, 6, 6)
    grey, colour = labelled(images, [0, 1, 0]).images, labelled(images, [0]).images
    assert torch.equal(grey.pixels[:, 0], torch.from_numpy(images))
    assert torch.equal(colour.pixels, torch.from_numpy(images)[None])
    with pytest.raises(ValueError, match="one in colour or three in grey"):
        labelled(images, [0, 1])


@pytest.mark.parametrize("kind", ["<f4", ">f4", ">f8", np.float16, np.longdouble])
def test_floats_of_any_kind_and_reversed_views_are_read(kind):
    images = np.linspace(0, 1, 2 * 6 * 6).reshape(2, 6, 6).astype(kind)
    expected = np.round(images.astype(np.float64) * 255).astype(int)
    for view in (np.s_[:], np.s_[::-1], np.s_[:, ::-1, ::-1]):
        pixels = unlabelled(images[view]).images.pixels[:, 0]
        assert np.abs(pixels.numpy() - expected[view]).max() <= (kind == np.float16)


def test_arrays_that_cannot_be_written_to_are_read_without_a_word():
    """NumPy's arrays of Pillow's pictures are such, and torch warns of them."""
    images = np.asarray(Image.fromarray(PHOTO))
    assert not images.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(unlabelled(images, 6).images.pixels, unlabelled(PHOTO, 6).images.pixels)
