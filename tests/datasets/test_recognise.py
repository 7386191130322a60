"""What people hold is recognised, or refused with the line that converts it."""

import io
from collections import deque

import numpy as np
import pytest
import scipy.sparse
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import to_pil_image

from dacbn.datasets import choose_family, read_every, size_of, to_labelled, to_unlabelled

PHOTOS = np.random.default_rng(0).integers(0, 256, (4, 12, 9, 3), dtype=np.uint8)
TENSORS = torch.from_numpy(PHOTOS).permute(0, 3, 1, 2)
LABELS = ["ant", "bee", "ant", "bee"]
DATASET = TensorDataset(TENSORS, torch.tensor([0, 1, 0, 1]))


class Stream(IterableDataset):
    """A dataset without places."""

    def __iter__(self):
        return iter(DATASET)


STREAM = Stream()
SIZE = 8


@pytest.fixture
def folder(tmp_path):
    for number, (photo, label) in enumerate(zip(PHOTOS, LABELS, strict=True)):
        (tmp_path / label).mkdir(exist_ok=True)
        Image.fromarray(photo).save(tmp_path / label / f"{number}.png")
    return tmp_path


def pixels_of(images):
    return images.gather(torch.arange(len(images)))


EXPECTED = pixels_of(to_unlabelled(PHOTOS, SIZE, train=True).images)


def objects(values):
    """Return an array (N,) of objects; NumPy would look into pictures."""
    return np.array([*values, None], object)[:-1]


class Column:
    """A column of a table, as of pandas."""

    def __init__(self, values):
        self.values = objects(values)
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def __array__(self, dtype=None, copy=None):
        """Return the values."""
        return self.values


@pytest.mark.parametrize("kind", [list, tuple, deque, objects, Column])
@pytest.mark.parametrize("item", [str, np.str_, lambda path: path, Image.open])
def test_files_and_pictures_come_in_any_sequence(folder, kind, item):
    files = sorted(folder.rglob("*.png"), key=lambda path: path.name)
    data = kind([item(file) for file in files])
    every = read_every(data, SIZE)
    assert torch.equal(pixels_of(every.images), EXPECTED) and every.files == tuple(files)
    for train in (True, False):
        assert torch.equal(pixels_of(to_unlabelled(data, SIZE, train).images), EXPECTED)
    pair = to_labelled((data, LABELS), SIZE, train=True)
    assert torch.equal(pixels_of(pair.images), EXPECTED) and pair.labels.tolist() == [0, 1, 0, 1]
    assert size_of(data) == size_of((data, LABELS)) == 224


def test_the_samples_of_an_image_folder_keep_their_order_and_names(folder):
    data = ImageFolder(folder)
    domain = to_labelled(data, SIZE, train=True)
    assert domain.classes == ("ant", "bee") and domain.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(pixels_of(domain.images), EXPECTED[[0, 2, 1, 3]])
    more = to_labelled(data, SIZE, train=False, classes=("aardvark", "ant", "bee"))
    assert more.labels.tolist() == [1, 1, 2, 2]
    for given in (data, domain):
        images = to_unlabelled(given, SIZE, train=True).images
        assert torch.equal(pixels_of(images), EXPECTED[[0, 2, 1, 3]])


def test_files_are_mirrored_in_training_however_they_are_named(folder):
    files = sorted(folder.rglob("*.png"))
    for data in (folder, files, (files, LABELS), ImageFolder(folder)):
        assert choose_family(data, data) == "photos"
    assert choose_family([Image.fromarray(PHOTOS[0])]) == choose_family(PHOTOS) == "digits"


def test_a_picture_is_turned_as_its_file_is_and_left_as_it_was(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turn right by a quarter
    Image.fromarray(PHOTOS[0]).save(tmp_path / "turned.png", exif=exif)
    picture = Image.open(tmp_path / "turned.png")
    upright = np.asarray(ImageOps.exif_transpose(picture))
    expected = pixels_of(to_unlabelled(upright, SIZE, train=True).images)
    for data in (picture, tmp_path / "turned.png"):
        assert torch.equal(pixels_of(read_every(data, SIZE).images), expected)
    assert picture.size == (9, 12)


def test_a_large_picture_is_not_reduced_in_the_hands_of_its_owner(tmp_path):
    Image.new("RGB", (512, 512)).save(tmp_path / "large.jpg")
    picture = Image.open(tmp_path / "large.jpg")
    read_every(picture, SIZE)
    assert picture.size == (512, 512)


def test_pictures_that_are_broken_or_empty_keep_their_places(folder):
    path = folder / "ant" / "0.png"
    path.write_bytes(path.read_bytes()[:200])
    good, empty = Image.fromarray(PHOTOS[1]), Image.new("RGB", (0, 5))
    said = r"2 images .*0\.png \(.*picture 3 \(it has no pixels\)"
    with Image.open(path) as broken, pytest.warns(UserWarning, match=said):
        every = read_every([good, broken, empty, good], SIZE)
    assert torch.equal(pixels_of(every.images), EXPECTED[[1, 1]])
    assert [reason is None for reason in every.reasons] == [True, False, False, True]
    with Image.open(path) as broken, pytest.warns(UserWarning, match=said):
        domain = to_labelled(([good, broken, empty, good], LABELS), SIZE, train=True)
    assert domain.labels.tolist() == [0, 1]


REFUSED = {
    "torch.stack(images), or if their sizes differ [to_pil_image(": list(TENSORS),
    "np.stack(images), or if their sizes differ [PIL.Image.fromarray(": [PHOTOS[0], PHOTOS[1, 1:]],
    "np.array(images, np.uint8)": PHOTOS.tolist(),
    "np.stack(list(images)) of arrays of one size": np.array([PHOTOS[0], PHOTOS[1, 1:]], object),
    "torch.cat([images for images, *_ in loader])": DataLoader(STREAM, 2),
    "[image for image, *_ in dataset]": STREAM,
    "images.toarray().reshape(-1, height, width)": scipy.sparse.csr_matrix(np.eye(4)),
    "list(images)": (photo for photo in PHOTOS),
    "sorted(images)": {"a.png", "b.png"},
    "np.asarray(images)": memoryview(PHOTOS),
    "PIL.Image.open(io.BytesIO(content))": b"content",
    "PIL.Image.open(file)": io.BytesIO(b"content"),
    "the images in it, as in data['image']": {"image": PHOTOS},
    "either file names or pictures of Pillow, and nothing else": ["a.png", None],
    "at least one image": [],
    "a dataset's name, a folder, image files, pictures": 5,
}


@pytest.mark.parametrize("cure", REFUSED)
def test_the_rest_is_refused_with_the_line_that_converts_it(cure):
    data = REFUSED[cure]
    pattern = f"cannot take images from {type(data).__name__}: pass "
    for convert in (read_every, lambda *given: to_unlabelled(*given, train=True)):
        with pytest.raises(ValueError, match=pattern) as caught:
            convert(data, SIZE)
        assert cure in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=pattern):
        to_labelled((data, LABELS), SIZE, train=True)


def test_two_photos_are_no_pair_of_images_and_labels():
    for photos in (tuple(PHOTOS[:2]), tuple(TENSORS[:2])):
        for convert in (read_every, lambda *given: to_unlabelled(*given, train=True)):
            with pytest.raises(
                ValueError, match=r"cannot take images from tuple: .*stack\(images\)"
            ):
                convert(photos, SIZE)


def test_the_lines_work():
    ragged = [PHOTOS[0], PHOTOS[1, 1:]]
    loader = DataLoader(DATASET, 2)
    lines = [
        *(torch.stack(list(TENSORS)), np.stack(list(PHOTOS)), np.array(PHOTOS.tolist(), np.uint8)),
        *([to_pil_image(image) for image in TENSORS], [Image.fromarray(image) for image in PHOTOS]),
        *(torch.cat([images for images, *_ in loader]), list(map(Image.fromarray, PHOTOS))),
        np.asarray(memoryview(PHOTOS)),
    ]
    for data in lines:
        assert torch.equal(pixels_of(to_unlabelled(data, SIZE, train=True).images), EXPECTED)
    assert len(to_unlabelled([Image.fromarray(image) for image in ragged], SIZE, train=True)) == 2
    pair = (lines[0], torch.cat([labels for _, labels in loader]))
    assert to_labelled(pair, SIZE, train=True).labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("data", "cure"),
    [
        (PHOTOS, "a pair (images, labels)"),
        (["a.png"], "a pair (images, labels)"),
        (DataLoader(STREAM), "torch.cat([labels for _, labels in loader])"),
        (STREAM, "tuple(zip(*dataset))"),
        (("a.png", "cat"), "([file], [label]) of one image file"),
    ],
)
def test_without_labels_it_is_said_where_they_go(data, cure):
    with pytest.raises(ValueError, match=r"cannot take .*images from") as caught:
        to_labelled(data, SIZE, train=True)
    assert cure in str(caught.value)
