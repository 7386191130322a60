"""What a domain holds, and what it refuses."""

import dataclasses

import pytest
import torch
from PIL import Image

from dacbn.batch import Batch
from dacbn.datasets import FileImages, LabelledImages, TensorImages, UnlabelledImages


def make_images(count=3, size=4):
    return TensorImages(torch.randint(256, (count, 3, size, size), dtype=torch.uint8))


def test_a_target_has_no_place_for_labels():
    assert [field.name for field in dataclasses.fields(UnlabelledImages)] == ["images"]
    few = [
        "labelled_images",
        "labelled_labels",
        "labelled_counts",
    ]  # given as an input of their own
    assert [name for name in Batch._fields if "label" in name] == ["source_labels", *few]


def test_without_labels_keeps_the_images_and_nothing_else():
    domain = LabelledImages(make_images(), torch.tensor([0, 1, 0]), ("a", "b"))
    target = domain.without_labels()
    assert target.images is domain.images and len(target) == 3
    assert not hasattr(target, "labels")


def test_gather_returns_the_images_asked_for_in_order():
    images = make_images()
    gathered = images.gather(torch.tensor([2, 0, 2]))
    assert torch.equal(gathered, torch.stack([images.pixels[i] for i in (2, 0, 2)]))
    assert (images.size, len(images)) == (4, 3)


def test_files_gather_as_tensors_do(tmp_path):
    pixels = torch.randint(256, (3, 3, 5, 5), dtype=torch.uint8)
    paths = tuple(tmp_path / f"{i}.png" for i in range(3))
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    files, rows = FileImages(paths, 5), torch.tensor([2, 1, 1])
    assert torch.equal(files.gather(rows), TensorImages(pixels).gather(rows))


@pytest.mark.parametrize(
    "pixels",
    [torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 5).byte(), torch.zeros(2, 1, 4, 4).byte()],
)
def test_pixels_of_another_kind_are_refused_with_the_converter_named(pixels):
    with pytest.raises(ValueError, match=r"convert them with dacbn\.datasets\.unlabelled"):
        TensorImages(pixels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(2, dtype=torch.int64), r"shape \(3,\), one per image"),
        (torch.zeros(3), "expected int64 labels"),
        (torch.tensor([0, 2, 1]), r"labels must be in 0\.\.1"),
        (torch.tensor([0, -1, 1]), r"labels must be in 0\.\.1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        LabelledImages(make_images(), labels, ("a", "b"))


def test_class_names_must_differ():
    with pytest.raises(ValueError, match="class names must differ"):
        LabelledImages(make_images(), torch.zeros(3, dtype=torch.int64), ("a", "a"))


def test_a_domain_without_images_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        UnlabelledImages(make_images(count=0))
