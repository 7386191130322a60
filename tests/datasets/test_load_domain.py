"""Domains are loaded from registered names and folder paths."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from dacbn.datasets import (
    UnlabelledImages,
    check_same_classes,
    datasets,
    load_labelled,
    load_unlabelled,
    natural_size,
    view_family,
)
from dacbn.registry import UnknownNameError

NAMES = ["color_digits", "digits", "mnist", "mnist_m", "street_digits", "svhn", "usps"]


def test_all_names_are_registered():
    assert list(datasets) == NAMES


def test_sizes_and_views_of_names_and_folders(tmp_path):
    assert {natural_size(name) for name in NAMES} == {32}
    assert {view_family(name) for name in NAMES} == {"digits"}
    assert natural_size(tmp_path) == natural_size(str(tmp_path)) == 224
    assert view_family(str(tmp_path)) == "photos"


def test_another_size_is_made_on_request(tmp_path):
    domain = load_labelled("digits", train=False, root=tmp_path, size=16)
    assert domain.images.size == 16 and domain.images.gather(torch.tensor([0])).shape == (
        1,
        3,
        16,
        16,
    )
    assert len(domain) == 297


def test_a_registered_name_loads_without_labels(tmp_path):
    target = load_unlabelled("digits", train=False, root=tmp_path, size=16)
    assert isinstance(target, UnlabelledImages) and target.images.size == 16


def test_an_unknown_name_lists_the_known_ones_and_mentions_folders(tmp_path):
    with pytest.raises(UnknownNameError) as caught:
        load_labelled("digit", train=True, root=tmp_path)
    message = str(caught.value)
    assert "'digits'" in message and "street_digits" in message
    assert "folder of images give its path" in message and "\n" not in message


@pytest.mark.parametrize("loader", [load_labelled, load_unlabelled])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_that_is_not_there_says_so(tmp_path, loader, kind):
    with pytest.raises(FileNotFoundError, match="does not exist: give the path of a folder"):
        loader(kind(f"{tmp_path}{os.sep}nowhere"), train=True, root=tmp_path)


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "images.zip").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"images\.zip is a file: give the path of a folder"
    ):
        load_labelled(tmp_path / "images.zip", train=True, root=tmp_path)


def test_a_missing_published_folder_says_where_to_get_it():
    with pytest.raises(FileNotFoundError, match=r"webcam.*does not exist: get Office-31 from http"):
        load_labelled("data/office31/webcam/images", train=True, root=Path("nowhere"))


def test_a_bare_folder_name_is_a_path_unless_it_is_registered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("pets", "digits"):
        (tmp_path / folder).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / folder / "a.png")
    assert len(load_unlabelled("pets", train=True, root=tmp_path)) == 1
    assert len(load_unlabelled("./digits", train=True, root=tmp_path)) == 1
    assert len(load_unlabelled("digits", train=True, root=tmp_path)) == 900


def test_the_same_classes_pass():
    check_same_classes(("a", "b"), ["a", "b"])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (("a",), r"lacks \['b'\] and adds \[\]; rename or remove"),
        (("a", "b", "c"), r"lacks \[\] and adds \['c'\]"),
        (("b", "a"), "in one order"),
    ],
)
def test_other_classes_are_named(target, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_same_classes(("a", "b"), target)
    assert "\n" not in str(caught.value)
