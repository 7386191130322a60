"""A few labelled target images: which are read, and how they come in batches."""

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets import (
    FileImages,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
    add_labelled,
    labelled_files,
    load_labelled,
    read_labelled_target,
    stream_batches,
)

CLASSES = ("bike", "mug", "pen")
CPU = torch.device("cpu")


def numbered(count, first=0):
    """Return images whose pixel values are their row."""
    values = torch.arange(first, first + count, dtype=torch.uint8)
    return TensorImages(values.reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous())


def labelled(count, first):
    return LabelledImages(numbered(count, first), torch.arange(count) % 3, CLASSES)


def start_streams(few, batch_size=4, family="none", seed=0, strong=False, stop=12, balance=True):
    """Return the streams without and with labelled images."""
    shared = {"family": family, "seed": seed, "device": CPU, "stop": stop, "balance": balance}

    def plain(start):
        sources, targets = [labelled(10, 0)], [UnlabelledImages(numbered(7, 100))] * len(few)
        sizes = {"source_batch_size": 4, "target_batch_size": 3}
        return stream_batches(sources, targets, strong=strong, start=start, **sizes, **shared)

    return plain, add_labelled(plain, few, batch_size=batch_size, **shared)


def rows_seen(images):
    return (images[:, 0, 0, 0] * 255).round().int().tolist()


@pytest.mark.parametrize("family", ["none", "digits"])
@pytest.mark.parametrize("strong", [False, True])
def test_labelled_images_change_no_other_image_of_a_batch(family, strong):
    plain, stream = start_streams([labelled(5, 200)], family=family, strong=strong)
    for before, after in zip(plain(0), stream(0), strict=True):
        for name in before._fields[:5]:
            first, second = getattr(before, name), getattr(after, name)
            assert (first is None and second is None) or torch.equal(first, second)
        assert before.labelled_images is None and len(after.labelled_images) == 4


def test_without_labelled_images_the_stream_is_the_same_one():
    plain, _ = start_streams([labelled(5, 200)])
    options = {"family": "none", "seed": 0, "device": CPU, "stop": 12, "balance": True}
    assert add_labelled(plain, (), batch_size=4, **options) is plain


def test_every_labelled_image_comes_once_an_epoch_with_its_label():
    _, stream = start_streams([labelled(5, 200)], batch_size=4, stop=25)
    batches = list(stream(0))
    rows = [row - 200 for batch in batches for row in rows_seen(batch.labelled_images)]
    found = [label for batch in batches for label in batch.labelled_labels.tolist()]
    assert found == [row % 3 for row in rows]
    epochs = [tuple(rows[i : i + 5]) for i in range(0, 100, 5)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert len(set(epochs)) > 10


@pytest.mark.parametrize("balance", [True, False])
def test_a_resumed_stream_is_the_tail_of_the_whole_one(balance):
    few = [labelled(5, 200), labelled(3, 220)]
    _, stream = start_streams(few, family="digits", balance=balance)
    whole, resumed = list(stream(0)), list(stream(7))
    assert len(resumed) == 5
    for batch, again in zip(whole[7:], resumed, strict=True):
        assert torch.equal(batch.labelled_images, again.labelled_images)
        assert torch.equal(batch.labelled_labels, again.labelled_labels)
        assert batch.labelled_counts == again.labelled_counts


def test_their_order_is_not_that_of_the_source():
    plain, stream = start_streams([labelled(10, 0)], batch_size=4)
    source = [rows_seen(batch.source_images) for batch in plain(0)]
    assert [rows_seen(batch.labelled_images) for batch in stream(0)] != source


def test_each_target_has_its_labelled_images_under_its_own_id():
    _, stream = start_streams([labelled(5, 200), labelled(3, 220)], batch_size=5)
    for batch in stream(0):
        of_first = [row < 220 for row in rows_seen(batch.labelled_images)]
        assert batch.labelled_domains.tolist() == [1 if first else 2 for first in of_first]
        assert sum(batch.labelled_counts) == 5 and min(batch.labelled_counts) == 2


def write_images(folder, names, shade=0):
    """Write one small image for each name, with a class folder in it; return the files."""
    files = [folder / name for name in names]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8, 3), shade + number, dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    return files


@pytest.fixture
def target(tmp_path):
    names = [f"{name}/{number}.png" for name in CLASSES for number in range(10)]
    write_images(tmp_path / "target", names)
    return tmp_path / "target"


def read(data, **options):
    return read_labelled_target(data, 8, CLASSES, root=None, **options)


def test_all_images_of_a_folder_are_read(tmp_path):
    names = ["mug/1.png", "mug/2.png", "mug/3.png", "pen/1.png"]
    files = write_images(tmp_path / "few", names)
    domain = read(tmp_path / "few")
    assert domain.labels.tolist() == [1, 1, 1, 2] and domain.classes == CLASSES
    assert labelled_files(tmp_path / "few") == tuple(files)
    assert labelled_files(str(tmp_path / "few")) == tuple(files)


def test_all_images_of_a_list_are_read(tmp_path, target):
    few = tmp_path / "few.txt"
    few.write_text("target/pen/3.png pen\ntarget/bike/4.png bike\ntarget/bike/5.png bike\n")
    assert read(few).labels.sort().values.tolist() == [0, 0, 2]
    wanted = {target / "pen/3.png", target / "bike/4.png", target / "bike/5.png"}
    assert set(labelled_files(few)) == wanted


def test_of_parts_the_training_part_is_read(tmp_path):
    names = ["train/mug/1.png", "train/pen/2.png", "test/mug/3.png", "test/pen/4.png"]
    files = write_images(tmp_path / "few", names)
    assert read(tmp_path / "few").labels.tolist() == [1, 2]
    assert labelled_files(tmp_path / "few") == tuple(files[:2])


def test_labels_are_matched_by_name():
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    assert read((images, ["pen", "mug"])).labels.tolist() == [2, 1]
    other = LabelledImages(numbered(2), torch.tensor([0, 1]), ("pen", "bike"))
    assert read(other).labels.tolist() == [2, 0]


def test_files_given_as_such_are_known_and_pictures_are_not(target):
    files = [target / "mug/1.png", target / "pen/1.png"]
    assert labelled_files((files, ["mug", "pen"])) == tuple(files)
    domain = LabelledImages(FileImages(tuple(files), 8), torch.tensor([1, 2]), CLASSES)
    assert labelled_files(domain) == tuple(files)
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    assert labelled_files((images, ["pen", "mug"]), labelled(3, 0)) == ()


def test_a_class_of_their_own_is_refused(tmp_path):
    write_images(tmp_path / "few", ["mug/1.png", "lamp/1.png"])
    with pytest.raises(ValueError, match=r"^target_labelled: .*lacks: \['lamp'\]"):
        read(tmp_path / "few")


def test_a_folder_without_classes_is_refused(tmp_path):
    write_images(tmp_path / "few", ["1.png", "2.png"])
    with pytest.raises(ValueError, match=r"^target_labelled: .*flat folder"):
        read(tmp_path / "few")


@pytest.mark.parametrize("link", [False, True])
def test_the_test_part_of_a_folder_has_none_of_them(tmp_path, target, link):
    tested = load_labelled(target, train=False, root=None, size=8, trained_on=[target])
    assert len(tested) >= 3
    files = sorted(target.rglob("*.png"))
    if link:
        (tmp_path / "few/mug").mkdir(parents=True)
        (tmp_path / "few/mug/a.png").symlink_to(files[10])
        (tmp_path / "few/mug/b.png").symlink_to(files[11])
        data, count = tmp_path / "few", 2
    else:
        data = tmp_path / "few.csv"
        lines = [f"{file.relative_to(tmp_path)},{file.parent.name}\n" for file in files[1:]]
        data.write_text("".join(lines))
        count = len(lines)
    seen = labelled_files(data)
    assert len(seen) == count
    with pytest.raises(ValueError, match="all images were trained on"):
        load_labelled(target, train=False, root=None, size=8, trained_on=[target, *files])
    whole = load_labelled(target, train=False, root=None, size=8, trained_on=seen)
    assert len(whole) == len(files) - count
