"""Lists and tables of files and labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets import is_flat_folder, load_labelled, load_sample, load_unlabelled, to_labelled
from dacbn.datasets.tables import read_table

NAMES = [f"s/{name} {number}.png" for name in ("ant", "bee") for number in range(10)]
LABELS = [name[2:5] for name in NAMES]


@pytest.fixture
def images(tmp_path):
    (tmp_path / "s").mkdir()
    for value, name in enumerate(NAMES):
        Image.new("L", (4, 4), value).save(tmp_path / name)
    return tmp_path


def read_list(path):
    rows = read_table(path)
    return rows.files, rows.labels


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def listed(root, suffix):
    separator = {"txt": " ", "lst": "  ", "csv": ",", "tsv": "\t"}[suffix]
    lines = [separator.join(pair) for pair in zip(NAMES, LABELS, strict=True)]
    return write(root / f"list.{suffix}", "\n".join(lines) + "\n\n")


@pytest.mark.parametrize("suffix", ["txt", "lst", "csv", "tsv"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_list_is_a_domain(images, suffix, kind):
    path = kind(listed(images, suffix))
    values = []
    for train in (True, False):
        domain = load_labelled(path, train=train, root=images, size=4)
        assert domain.classes == ("ant", "bee")
        pixels = domain.images.gather(torch.arange(len(domain)))[:, 0, 0, 0].tolist()
        assert [value >= 10 for value in pixels] == domain.labels.bool().tolist()
        values += pixels
        assert len(load_unlabelled(path, train=train, root=images, size=4)) == len(domain)
        assert len(load_sample(path, 99, train=train, root=images, size=4)) == len(domain)
    assert sorted(values) == list(range(20))
    assert not is_flat_folder(path)


def test_a_table_may_have_a_header_and_more_columns(images):
    path = write(images / "t.csv", f'file,size,label\n"{NAMES[0]}",4,ant\n{NAMES[10]},4,bee\n')
    files, labels = read_list(path)
    assert files == [images / NAMES[0], images / NAMES[10]] and labels == ["ant", "bee"]


def test_a_list_without_labels_is_an_unlabelled_target(images):
    path = write(images / "list.txt", "\n".join(NAMES))
    assert is_flat_folder(path)
    assert len(load_unlabelled(path, train=True, root=images, size=4)) == 20
    with pytest.raises(ValueError, match="lists no labels"):
        load_labelled(path, train=True, root=images, size=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no images"),
        ("s/none.png ant\n", r"1 of 1 files of .* do not exist, the first is .*none\.png: copy"),
        (f"{NAMES[0]} ant\n{NAMES[1]}\n", "1 lines without a label"),
        (f"{NAMES[0]} ant\n{NAMES[0]} bee\n", "lists 1 of its files twice"),
    ],
)
def test_a_list_with_faults_is_refused(images, text, message):
    with pytest.raises(ValueError, match=message):
        read_list(write(images / "list.txt", text))


@pytest.mark.parametrize("kind", [str, Path, np.str_])
@pytest.mark.parametrize("train", [True, False])
def test_lists_of_files_and_labels_are_a_pair(images, kind, train):
    (images / NAMES[3]).write_bytes(b"broken")
    files = [kind(images / name) for name in NAMES]
    for given in (files, tuple(files), np.array(files), np.array(files, object)):
        with pytest.warns(UserWarning, match="1 image is unreadable"):
            domain = to_labelled((given, np.array(LABELS)), 4, train)
        assert domain.classes == ("ant", "bee") and domain.labels.tolist() == [0] * 9 + [1] * 10
    with pytest.raises(ValueError, match="unreadable"):
        to_labelled((files, LABELS), 4, train, on_unreadable="raise")
    with pytest.raises(ValueError, match="a folder or list among the files"):
        to_labelled(([*files[:-1], images], LABELS), 4, train)
    with pytest.raises(ValueError, match=r"20 files have labels of shape \(19,\)"):
        to_labelled((files, LABELS[:19]), 4, train=True)


def test_a_list_in_another_encoding_is_named(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ValueError, match=r"list\.txt is no text in UTF-8"):
        read_list(tmp_path / "list.txt")


def test_class_names_of_a_table_are_text(images):
    path = write(images / "t.csv", f"{NAMES[0]},NA\n{NAMES[1]},007\n{NAMES[2]},nan\n")
    assert read_list(path)[1] == ["NA", "007", "nan"]
    domain = load_labelled(path, train=True, root=images, size=4)
    assert domain.classes == ("007", "NA", "nan")
