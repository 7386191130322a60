"""Images and labels in files of NumPy."""

import numpy as np
import pytest
import torch

from dacbn.datasets import (
    choose_family,
    expand,
    is_flat_folder,
    list_images,
    load_labelled,
    load_sample,
    load_unlabelled,
    read_every,
    size_of,
)
from dacbn.datasets.listing import list_folder

RANDOM = np.random.default_rng(0)
COUNTS = {"train": 20, "val": 6, "test": 8}
SIZE = 9


def images(count, *shape):
    return RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)


def save(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def medmnist(path, *shape):
    """Write a file as MedMNIST's: labels are uint8 (N, 1)."""
    arrays = {}
    for part, count in COUNTS.items():
        arrays[f"{part}_images"] = images(count, SIZE, SIZE, *shape)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 3
    return save(path, **arrays), arrays


@pytest.mark.parametrize("shape", [(), (3,)])
def test_the_parts_of_a_file_of_medmnist_are_kept(tmp_path, shape):
    path, arrays = medmnist(tmp_path / "pathmnist.npz", *shape)
    for train, part in ((True, "train"), (False, "test")):
        domain = load_labelled(path, train=train, root=tmp_path)
        assert domain.classes == ("0", "1", "2") and domain.images.size == SIZE
        order = np.argsort(arrays[f"{part}_labels"][:, 0], kind="stable")
        assert domain.labels.tolist() == arrays[f"{part}_labels"][order, 0].tolist()
        pixels = domain.images.gather(torch.arange(len(domain))).permute(0, 2, 3, 1).numpy()
        expected = arrays[f"{part}_images"][order]
        assert np.array_equal(pixels, expected if shape else np.stack([expected] * 3, axis=-1))
        assert len(load_unlabelled(str(path), train=train, root=tmp_path)) == COUNTS[part]
        assert len(load_sample(path, 4, train=train, root=tmp_path)) == 4
    assert size_of(path) == SIZE and choose_family(path) == "digits"
    assert not is_flat_folder(path) and expand(path) == (str(path),)
    every = read_every(path, SIZE)
    assert len(every.images) == 34 and every.files[-1] == path / "test_images" / "7"
    assert list_images(path) == list(every.files)


def test_a_file_without_parts_is_split_and_tested_whole_where_it_was_not_trained_on(tmp_path):
    arrays = {"images": images(30, SIZE, 7), "labels": np.array(["cat", "dog", "owl"] * 10)}
    path = save(tmp_path / "a.npz", **arrays)
    parts = [list_folder(path, train)[0] for train in (True, False)]
    assert len(parts[0]) + len(parts[1]) == 30 and 3 <= len(parts[1]) < 15
    twice = {name: np.concatenate([array, array]) for name, array in arrays.items()}
    save(tmp_path / "longer.npz", **twice)
    rows = [
        {int(file.name) for file in list_folder(each, True)[0]}
        for each in (path, tmp_path / "longer.npz")
    ]
    assert len(rows[0] ^ {row for row in rows[1] if row < 30}) <= 3  # one of each class may move
    assert list_folder(path, False, trained_on=[path])[0] == parts[1]
    assert len(list_folder(path, False, trained_on=[tmp_path / "longer.npz"])[0]) == 30
    assert load_labelled(path, train=True, root=tmp_path, size=8).classes == ("cat", "dog", "owl")


@pytest.mark.parametrize("name", ["x_train.npy", "images.npy", "Train_Images.npy", "X.npy"])
def test_an_array_has_its_labels_beside_it(tmp_path, name):
    pixels = images(12, SIZE, SIZE, 3)
    np.save(tmp_path / name, pixels)
    assert is_flat_folder(tmp_path / name) and size_of(tmp_path / name) == SIZE
    assert len(load_unlabelled(tmp_path / name, train=True, root=tmp_path)) == 12
    with pytest.raises(ValueError, match="has no labels: save them with the images"):
        load_labelled(tmp_path / name, train=True, root=tmp_path)
    beside = {"x_train.npy": "y_train.npy", "images.npy": "labels.npy", "X.npy": "y.npy"}
    np.save(tmp_path / beside.get(name, "Train_labels.npy"), np.arange(12) % 2)
    assert load_labelled(tmp_path / name, train=True, root=tmp_path).classes == ("0", "1")


def test_three_grey_images_are_not_one_in_colour(tmp_path):
    path = save(tmp_path / "a.npz", images=images(3, SIZE, SIZE))
    assert len(load_unlabelled(path, train=True, root=tmp_path)) == 3


def test_names_of_keras_are_read(tmp_path):
    path = save(
        tmp_path / "mnist.npz",
        x_train=images(9, SIZE, SIZE),
        y_train=np.arange(9) % 3,
        x_test=images(3, SIZE, SIZE),
        y_test=np.arange(3),
    )
    assert len(load_labelled(path, train=False, root=tmp_path)) == 3


PIXELS = images(4, SIZE, SIZE)
FAULTS = {
    "4 images in 'images' and labels of shape (3,): save one label": {
        "images": PIXELS,
        "labels": np.arange(3),
    },
    "4 images in 'images' and labels of shape (4, 14): save one label": {
        "images": PIXELS,
        "labels": np.zeros((4, 14), int),
    },
    "has images of shape (): save (N, H, W)": {"images": np.array(3)},
    "cannot tell images from labels": {"arr_0": PIXELS, "arr_1": np.arange(4)},
    "cannot tell images from labels in": {"train_images": PIXELS, "test_labels": np.arange(4)},
    "holds no images: save it with np.savez(": {"images": PIXELS[:0], "labels": np.arange(0)},
    "labels of only some of its parts": {
        "train_images": PIXELS,
        "train_labels": np.arange(4),
        "test_images": PIXELS,
    },
    "has 'images' and 'data': keep one": {"images": PIXELS, "data": PIXELS},
    "Object arrays cannot be loaded": {"images": PIXELS, "labels": np.array([1, None, 2, 3])},
    "labels must be whole numbers or class names, got float64": {
        "images": PIXELS,
        "labels": np.array([0.5, 1.5, 2.5, 3.5]),
    },
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_file_with_faults_is_refused_in_one_line(tmp_path, message):
    path = save(tmp_path / "a.npz", **FAULTS[message])
    with pytest.raises(ValueError) as caught:
        load_labelled(path, train=True, root=tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.npz", "images.npy"])
def test_a_damaged_file_is_named(tmp_path, name):
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(4))
    np.save(tmp_path / "images.npy", PIXELS)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:200])
    with pytest.raises(ValueError, match=rf"cannot read .*{name} \(.*\): save it with"):
        load_unlabelled(tmp_path / name, train=True, root=tmp_path)


def test_an_array_is_not_read_together_with_files(tmp_path):
    path = save(tmp_path / "a.npz", images=PIXELS)
    (tmp_path / "b.png").touch()
    with pytest.raises(ValueError, match=r"a\.npz is given with other images: give it alone"):
        read_every([path, tmp_path / "b.png"], SIZE)
