"""A random sample of a domain has the right labels, and no other file is opened."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn.datasets import LabelledImages, UnlabelledImages, load_labelled, load_sample
from dacbn.datasets.decoding import Picture

NOWHERE = Path("nowhere")  # made in memory, digits need no files
SHADES = {"cup": 40, "mug": 120, "pen": 220}


def write(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path):
    for name, shade in SHADES.items():
        for number in range(20):
            write(tmp_path / "photos" / name / f"{number}.png", shade)
    return tmp_path / "photos"


def load(data, count, **options):
    return load_sample(data, count, root=data, **{"train": True, "size": 8, **options})


def test_labels_go_with_the_images_of_a_folder(photos):
    sample = load(photos, 9)
    assert isinstance(sample, LabelledImages) and len(sample) == 9
    assert sample.classes == tuple(SHADES)
    shades = sample.images.pixels.float().mean((1, 2, 3)).tolist()
    assert shades == [list(SHADES.values())[label] for label in sample.labels.tolist()]


def test_names_go_with_the_images(photos):
    sample = load(photos, 9)
    classes = [Path(name).parent.name for name in sample.names]
    assert classes == [sample.classes[label] for label in sample.labels.tolist()]
    assert all(Path(name).is_file() for name in sample.names)
    digits = load_sample("digits", 5, train=False, root=NOWHERE)
    whole = load_labelled("digits", train=False, root=NOWHERE)
    rows = [int(name.removeprefix("digits ")) for name in digits.names]
    assert torch.equal(whole.images.pixels[rows], digits.images.pixels)


def test_only_the_sample_is_opened(photos, monkeypatch):
    opened = []

    def read_picture(path, size, fit):
        opened.append(path)
        return Picture(torch.zeros(3, size, size, dtype=torch.uint8))

    monkeypatch.setattr("dacbn.datasets.many_files.read_picture", read_picture)
    load(photos, 5)
    assert len(opened) == 5


def test_a_sample_is_of_the_part_that_is_asked_for(photos):
    for train in (True, False):
        whole = load_labelled(photos, train=train, root=photos, size=8)
        assert len(load(photos, 1000, train=train)) == len(whole)


def test_the_same_seed_chooses_the_same_images():
    first, again, other = (
        load_sample("digits", 20, train=False, root=NOWHERE, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first.images.pixels, again.images.pixels)
    assert not torch.equal(first.images.pixels, other.images.pixels)


def test_a_named_domain_keeps_its_labels():
    whole = load_labelled("digits", train=False, root=NOWHERE, size=16)
    sample = load_sample("digits", 10**6, train=False, root=NOWHERE, size=16)
    assert torch.equal(sample.labels, whole.labels) and sample.classes == whole.classes
    assert torch.equal(sample.images.pixels, whole.images.pixels)


def test_a_flat_folder_has_no_labels(tmp_path):
    for number in range(4):
        write(tmp_path / "flat" / f"{number}.png", 60 * number)
    sample = load(tmp_path / "flat", 3)
    assert isinstance(sample, UnlabelledImages) and len(sample) == 3


def test_broken_files_are_left_out_with_their_labels(photos):
    for number in range(10):
        (photos / "cup" / f"{number}.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="unreadable"):
        sample = load(photos, 1000)
    shades = sample.images.pixels.float().mean((1, 2, 3)).tolist()
    assert shades == [list(SHADES.values())[label] for label in sample.labels.tolist()]
    with pytest.raises(ValueError, match="unreadable"):
        load(photos, 1000, on_unreadable="raise")


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load(tmp_path / "nowhere", 3)
