"""Datasets of Hugging Face, written by its library: objects, saved folders, names of the hub."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from dacbn.datasets import (
    choose_family,
    is_flat_folder,
    load_labelled,
    load_sample,
    load_unlabelled,
    read_every,
    size_of,
    to_labelled,
    to_unlabelled,
)
from dacbn.datasets.images import FileImages

hub = pytest.importorskip("datasets", reason="needs pip install 'dacbn[hf]'")
hub.disable_progress_bars()

NAMES = ["mug", "bike", "10"]  # of numbers 0, 1, 2: not sorted


def picture(level: int) -> Image.Image:
    return Image.new("RGB", (12, 8), (level, level, level))


def dataset(labels: list[int | None], names: list[str] = NAMES, first: int = 0) -> Any:
    """Return a dataset whose images have the grey level of their number."""
    features = hub.Features({"image": hub.Image(), "label": hub.ClassLabel(names=names)})
    rows = {"image": [picture(first + i) for i in range(len(labels))], "label": labels}
    return hub.Dataset.from_dict(rows, features=features)


def levels(images: Any) -> list[int]:
    return images.gather(torch.arange(len(images)))[:, 0, 0, 0].tolist()


def read(data: Any, train: bool = True, **options: Any) -> Any:
    return to_labelled(data, 8, train, root=Path(), **options)


def test_labels_go_by_sorted_names_and_never_by_numbers() -> None:
    domain = read(dataset([0, 1, 2, 0]))
    assert domain.classes == ("10", "bike", "mug")
    assert [domain.classes[label] for label in domain.labels] == ["mug", "bike", "10", "mug"]
    assert levels(domain.images) == [0, 1, 2, 3]
    other = read(dataset([0, 1], ["bike", "mug"]), classes=domain.classes)
    assert [domain.classes[label] for label in other.labels] == ["bike", "mug"]


def test_an_object_is_read_whole_and_without_its_format_or_order_lost() -> None:
    data = dataset([0, 1, 2] * 4).shuffle(seed=1).select(range(9)).with_format("torch")
    images = to_unlabelled(data, 8, train=True).images
    expected = [row["image"].getpixel((0, 0))[0] for row in data.with_format(None)]
    assert levels(images) == expected
    assert (size_of(data), choose_family(data, data)) == (224, "photos")
    every = read_every(data, 8)
    assert len(every.files) == 9 and str(every.files[3]) == "dataset/3"


def test_splits_become_parts(tmp_path: Path) -> None:
    data = hub.DatasetDict(
        train=dataset([0, 1, 2]), validation=dataset([0], first=10), test=dataset([1], first=20)
    )
    data.save_to_disk(str(tmp_path / "saved"))
    for place in (data, tmp_path / "saved", str(tmp_path / "saved")):
        train, test = read(place), read(place, train=False)
        assert sorted(levels(train.images)) == [0, 1, 2] and levels(test.images) == [20]
        assert test.classes[int(test.labels[0])] == "bike"
    del data["test"]
    assert levels(read(data, train=False).images) == [10]


def test_a_test_part_without_labels_gives_way_to_one_with_labels() -> None:
    data = hub.DatasetDict(
        train=dataset([0, 1]),
        validation=dataset([0, 1], first=10),
        test=dataset([-1, -1], first=20),
    )
    assert levels(read(data, train=False).images) == [10, 11]
    with pytest.raises(ValueError, match="the dataset has no labels: add a ClassLabel column"):
        read(hub.DatasetDict(train=dataset([0, 1]), test=dataset([-1, -1])), train=False)


def test_a_saved_folder_without_parts_is_split_as_files_are(tmp_path: Path) -> None:
    for name, count in (("few", 60), ("more", 90)):
        dataset([0, 1, 2] * (count // 3)).save_to_disk(str(tmp_path / name))
    train, test = (levels(read(tmp_path / "few", part).images) for part in (True, False))
    assert sorted(train + test) == list(range(60)) and 4 <= len(test) <= 25
    more = levels(read(tmp_path / "more", False).images)
    assert {row for row in more if row < 60} == set(test)  # rows that are added move no other
    assert (
        len(load_labelled(tmp_path / "few", train=False, root=Path(), size=8, trained_on=[])) == 60
    )
    assert not is_flat_folder(tmp_path / "few")
    sample = load_sample(tmp_path / "few", 5, train=True, root=Path(), size=8)
    assert len(sample) == 5 and set(levels(sample.images)) <= set(train)


def test_a_folder_without_labels_is_a_target(tmp_path: Path) -> None:
    dataset([-1, None]).save_to_disk(str(tmp_path / "saved"))
    assert is_flat_folder(tmp_path / "saved")
    assert len(load_unlabelled(tmp_path / "saved", train=True, root=Path(), size=8)) == 2
    with pytest.raises(ValueError, match="no labels"):
        read(tmp_path / "saved")


def test_the_pixels_are_those_of_files(tmp_path: Path) -> None:
    """Depth, transparency and orientation: the library's own decoding keeps none of them."""
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    files = [tmp_path / name for name in ("deep.png", "clear.png", "turned.jpg")]
    Image.fromarray(random.integers(0, 65536, (9, 16), dtype=np.uint16)).save(files[0])
    Image.fromarray(random.integers(0, 256, (9, 16, 4), dtype=np.uint8)).save(files[1])
    Image.fromarray(random.integers(0, 256, (9, 16, 3), dtype=np.uint8)).save(files[2], exif=exif)
    features = hub.Features({"img": hub.Image()})
    data = hub.Dataset.from_dict({"img": list(map(str, files))}, features=features)
    data.save_to_disk(str(tmp_path / "saved"))  # which stores the bytes
    expected = to_unlabelled(files, 8, train=True).images.gather(torch.arange(3))
    for place in (data, tmp_path / "saved"):
        found = to_unlabelled(place, 8, train=True, root=Path()).images.gather(torch.arange(3))
        assert torch.equal(found, expected)


def test_what_exceeds_the_memory_is_decoded_batchwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dacbn.datasets.folders.MEMORY_BUDGET", 100)
    images = read(dataset([0, 1, 2])).images
    assert isinstance(images, FileImages)
    assert images.gather(torch.tensor([2, 0]))[:, 0, 0, 0].tolist() == [2, 0]


def test_a_row_that_cannot_be_read_is_left_out_with_its_name() -> None:
    features = hub.Features({"image": hub.Image(), "label": hub.ClassLabel(names=NAMES)})
    pictures = [picture(7), {"bytes": b"text", "path": None}, None]
    data = hub.Dataset.from_dict({"image": pictures, "label": [0, 1, 2]}, features=features)
    with pytest.warns(UserWarning, match=r"dataset/1 \(no image.*dataset/2 \(its row has no"):
        assert levels(read(data).images) == [7]
    with pytest.warns(UserWarning, match="2 images are unreadable"):
        every = read_every(data, 8)
    assert every.readable.tolist() == [True, False, False]


def test_labels_without_names_and_names_without_numbers() -> None:
    data = dataset([0, 1]).remove_columns("label")
    assert read(data.add_column("label", [10, 9])).classes == ("9", "10")
    assert read(data.add_column("target", ["b", "a"])).classes == ("a", "b")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: hub.Dataset.from_dict({"text": ["a"], "label": [0]}),
            "columns: text, label): cast",
        ),
        (lambda: dataset([0, 1, -1, None]), "2 of 4 labels of dataset are missing (-1 or None)"),
        (lambda: hub.DatasetDict(art=dataset([0])), "splits ['art'] and none of them is called"),
        (lambda: hub.DatasetDict(test=dataset([0])), "give one of them, as in dataset/test or"),
        (lambda: dataset([]), "dataset holds no images: add some"),
        (lambda: dataset([0]).to_iterable_dataset(), "dataset is streamed, so its rows have no"),
        (
            lambda: hub.DatasetDict(train=dataset([0, 1]), test=dataset([0], ["cup"])),
            "labels ['cup'] are not among the classes",
        ),
        (
            lambda: hub.Dataset.from_dict({"a": [picture(0)], "b": [picture(1)]}),
            "dataset has several columns of type Image (a, b): keep one, as in data.rename_column",
        ),
    ],
)
def test_mistakes_have_a_cure_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(make(), train=False, classes=sorted(NAMES))
    assert "\n" not in str(caught.value)


def test_a_broken_folder_says_so(tmp_path: Path) -> None:
    dataset([0, 1]).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / "dataset_info.json").unlink()
    with pytest.raises(
        ValueError, match=r"saved cannot be read .*: write it again with save_to_disk"
    ):
        read(tmp_path / "saved")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of the library."""
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


def test_a_name_is_read_from_the_cache_without_a_network(cache: Path, tmp_path: Path) -> None:
    """A downloaded dataset lies in the cache as a prepared one does, under its name."""
    for name, row in (("bike", 1), ("mug", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        picture(row).save(tmp_path / "photos" / name / "0.png")
        picture(row + 10).save(tmp_path / "photos" / name / "1.png")
    hub.load_dataset("imagefolder", data_dir=str(tmp_path / "photos"), cache_dir=str(cache))
    prepared = next(path for path in cache.glob("imagefolder/*") if path.is_dir())
    (cache / "user___photos").mkdir()
    shutil.move(prepared, cache / "user___photos" / "default")
    for file in (cache / "user___photos").rglob("imagefolder-*.arrow"):
        file.rename(file.with_name(file.name.replace("imagefolder", "photos")))
    for file in (cache / "user___photos").rglob("dataset_info.json"):
        text = file.read_text().replace('"imagefolder"', '"photos"')
        file.write_text(re.sub(r'"config_name": "[^"]+"', '"config_name": "default"', text))
    domain = read("hf:user/photos")
    assert domain.classes == ("bike", "mug") and len(domain) == 2  # the others are the test part


def test_without_a_network_a_name_says_within_about_a_second_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dacbn.datasets.hugging_face.try_to_connect", lambda _: "no route")
    start = time.monotonic()
    with pytest.raises(
        FileNotFoundError, match=re.escape("load hf:user/photos (no route): ")
    ) as caught:
        read("hf:user/photos")
    assert time.monotonic() - start < 2
    assert ".load_dataset('user/photos').save_to_disk('FOLDER'), copy FOLDER" in str(caught.value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE is set"):
        read("hf:photos")


def test_without_the_library_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'dacbn[hf]'")):
        read("hf:user/photos")


def test_in_a_checkout_the_library_is_not_shadowed() -> None:
    root = Path(__file__).parents[2]
    code = (
        "import datasets, dacbn.datasets; from datasets import load_dataset; "
        "print(load_dataset.__module__, dacbn.datasets.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert run.stdout.split() == ["datasets.load", "dacbn.datasets"], run.stderr
