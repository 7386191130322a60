"""Folders of images in all supported layouts."""

import pytest
import torch
from PIL import Image

from dacbn.datasets import FileImages, TensorImages, folders, load_labelled, load_unlabelled

SIZE = 4


def fill(folder, values):
    """Write one constant grey image per value; its pixels identify the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new("L", (SIZE, SIZE), value).save(folder / f"{value:03d}.png")


def read(path, train=True, loader=load_labelled, **options):
    return loader(path, train=train, root=path, size=SIZE, **options)


def values_of(domain):
    return domain.images.gather(torch.arange(len(domain)))[:, 0, 0, 0].tolist()


@pytest.fixture
def two_classes(tmp_path):
    fill(tmp_path / "dog", range(100, 120))
    fill(tmp_path / "cat", range(10))
    return tmp_path


def test_classes_are_the_sorted_folder_names_and_labels_follow(two_classes):
    domain = read(two_classes)
    assert domain.classes == ("cat", "dog")
    for value, label in zip(values_of(domain), domain.labels.tolist(), strict=True):
        assert label == (value >= 100)


def test_the_split_repeats_and_follows_its_seed(two_classes):
    tests = [values_of(read(two_classes, False, seed=seed)) for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_the_unlabelled_part_is_the_same_as_the_labelled_one(two_classes):
    for train in (True, False):
        target = read(two_classes, train, load_unlabelled)
        assert values_of(target) == values_of(read(two_classes, train))
        assert not hasattr(target, "labels")


def test_train_and_test_folders_are_honoured(tmp_path):
    for part, first in [("train", 0), ("test", 100)]:
        fill(tmp_path / part / "a", range(first, first + 3))
        fill(tmp_path / part / "b", range(first + 10, first + 13))
    assert values_of(read(tmp_path)) == [0, 1, 2, 10, 11, 12]
    assert values_of(read(tmp_path, train=False)) == [100, 101, 102, 110, 111, 112]
    assert values_of(read(tmp_path, True, load_unlabelled)) == [0, 1, 2, 10, 11, 12]


def test_train_and_test_folders_must_have_the_same_classes(tmp_path):
    for folder in ("train/a", "train/b", "test/a", "test/c"):
        fill(tmp_path / folder, range(2))
    with pytest.raises(ValueError, match=r"test has classes that .*train lacks: \['c'\]"):
        read(tmp_path, train=False)


def test_vehicles_called_train_are_a_class(tmp_path):
    for name in ("bus", "test", "train"):
        fill(tmp_path / name, range(5))
    assert read(tmp_path).classes == ("bus", "test", "train")


def test_images_are_found_at_any_depth_and_hidden_folders_ignored(two_classes):
    fill(two_classes / "cat" / "indoor" / "night", range(50, 55))
    fill(two_classes / ".ipynb_checkpoints", range(3))
    fill(two_classes / "__MACOSX", range(3))
    both = values_of(read(two_classes)) + values_of(read(two_classes, train=False))
    assert sorted(both) == [*range(10), *range(50, 55), *range(100, 120)]


def test_a_lone_images_folder_is_stepped_into(tmp_path):
    fill(tmp_path / "images" / "bike", range(5))
    fill(tmp_path / "images" / "mug", range(5))
    assert read(tmp_path).classes == ("bike", "mug")
    both = [len(read(tmp_path, train, load_unlabelled)) for train in (True, False)]
    assert sum(both) == 10 and min(both) > 0


def test_a_flat_folder_is_whole_when_unlabelled_and_refused_when_labelled(tmp_path):
    fill(tmp_path, range(5))
    for train in (True, False):
        assert values_of(read(tmp_path, train, load_unlabelled)) == list(range(5))
    with pytest.raises(ValueError, match="flat folder of images: make one sub-folder per class"):
        read(tmp_path)


def test_flat_train_and_test_folders_are_not_two_classes(tmp_path):
    fill(tmp_path / "train", range(5))
    fill(tmp_path / "test", range(7, 9))
    assert values_of(read(tmp_path, False, load_unlabelled)) == [7, 8]
    with pytest.raises(ValueError, match="make one sub-folder per class"):
        read(tmp_path)


def test_a_class_of_one_image_is_trained_on(tmp_path):
    fill(tmp_path / "a", range(1))
    fill(tmp_path / "b", range(5))
    assert torch.bincount(read(tmp_path).labels).tolist() == [1, 4]
    assert read(tmp_path, train=False).labels.tolist() == [1]


def test_folders_too_large_for_memory_are_read_as_needed(two_classes, monkeypatch):
    held = read(two_classes)
    monkeypatch.setattr(folders, "MEMORY_BUDGET", 100)
    lazy = read(two_classes)
    assert isinstance(held.images, TensorImages) and isinstance(lazy.images, FileImages)
    assert values_of(lazy) == values_of(held) and torch.equal(lazy.labels, held.labels)


@pytest.mark.parametrize("budget", [100, 10**9])
def test_unreadable_images_are_skipped_with_their_labels(two_classes, monkeypatch, budget):
    monkeypatch.setattr(folders, "MEMORY_BUDGET", budget)
    whole = read(two_classes)
    values = values_of(whole)
    lost = values[2]
    (two_classes / "cat" / f"{lost:03d}.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=rf"1 image is unreadable.*{lost:03d}\.png"):
        domain = read(two_classes)
    kept = [i for i in range(len(whole)) if i != 2]
    assert values_of(domain) == [values[i] for i in kept]
    assert torch.equal(domain.labels, whole.labels[kept])
    with pytest.raises(ValueError, match="unreadable"):
        read(two_classes, on_unreadable="raise")


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_a_class_without_readable_images_is_refused(two_classes):
    for path in (two_classes / "cat").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(
        ValueError, match=r"class folder 'cat' .* has no readable images to train on"
    ):
        read(two_classes)


@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_a_folder_without_readable_images_is_refused(tmp_path):
    fill(tmp_path, range(2))
    for path in tmp_path.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"no readable images: .*000\.png: no image format"):
        read(tmp_path, True, load_unlabelled)


def test_a_class_folder_without_images_is_refused(two_classes):
    (two_classes / "cow").mkdir()
    with pytest.raises(ValueError, match=r"class folders \['cow'\] .* fill or delete"):
        read(two_classes)


def test_one_class_is_refused(tmp_path):
    fill(tmp_path / "cat", range(5))
    with pytest.raises(ValueError, match="only one class, 'cat': add another"):
        read(tmp_path)


@pytest.mark.parametrize("loader", [load_labelled, load_unlabelled])
def test_an_empty_folder_is_refused(tmp_path, loader):
    with pytest.raises(ValueError, match=r"holds no images: add some .*\.png"):
        read(tmp_path, True, loader)
