"""Folders of classes that Hugging Face's library takes for splits, in its own words and in paths.

The library's documentation says that folders called "train", "test" and the like make splits; that
a class of such a name hides all others is seen in datasets 5.2.0.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dacbn.datasets import to_labelled, to_unlabelled
from dacbn.datasets.classes_as_splits import SPLIT, name_left_out

hub = pytest.importorskip("datasets", reason="needs pip install 'dacbn[hf]'")
hub.disable_progress_bars()

STATIONS = {"bar": 2, "train_interior": 2, "train_station": 2, "zen": 2, "zoo": 2}


def write(folder: Path, counts: Mapping[str, int]) -> Path:
    """Write so many images into each of these folders."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (4, 4), number).save(folder / name / f"{number}.png")
    return folder


def load(folder: Path, **options: Any) -> Any:
    cache = str(folder.parent / "cache")
    return hub.load_dataset("imagefolder", data_dir=str(folder), cache_dir=cache, **options)


def test_the_words_are_those_of_the_library() -> None:
    from datasets.data_files import SPLIT_KEYWORDS

    for word in chain.from_iterable(SPLIT_KEYWORDS.values()):
        assert all(map(SPLIT.search, (word, f"{word}_1", f"old {word}")))
        assert not any(map(SPLIT.search, (f"{word}er", f"x{word}", word.title())))


@pytest.mark.parametrize(
    ("folders", "left_out"),
    [
        ({"train": 9, "bus": 5, "car": 5}, "'bus', 'car'"),
        ({"bus": 5, "car": 5, "zoo": 5}, ""),
        ({"train/bus": 2, "train/car": 2, "test/bus": 1, "test/car": 1}, ""),
        ({"train": 9, "test": 3, "val": 3}, ""),
        ({"train": 9, "assets": 1, "figures": 2}, ""),
        ({"train": 9, "masks": 10}, ""),
        ({"a/train": 9, "b/bus": 9, "b/car": 9}, ""),
    ],
)
def test_classes_are_told_from_splits(folders: Mapping[str, int], left_out: str) -> None:
    files = [f"hf://x/{name}/{i}.JPG" for name, count in folders.items() for i in range(count)]
    taken = [file for file in files if any(SPLIT.search(part) for part in file.split("/"))]
    found = name_left_out(taken or files, [*files, "hf://x/README.md", "hf://x/bus/notes.txt"])
    wanted = f"the library takes 'train' for a split and leaves out {left_out}"
    assert found == (wanted if left_out else "")


@pytest.mark.parametrize("folders", [{"bus": 2, "car": 2, "train": 2}, STATIONS])
def test_a_dataset_that_lost_its_other_classes_is_refused(
    tmp_path: Path, folders: Mapping[str, int]
) -> None:
    data = load(write(tmp_path / "photos", folders))
    for given in (data, data["train"]):
        with pytest.raises(ValueError, match="lacks classes, as the library takes") as caught:
            to_unlabelled(given, 8, train=True)
        assert f"give the folder {tmp_path / 'photos'} itself, or" in str(caught.value)


def test_one_class_that_was_chosen_is_taken(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", STATIONS)
    data = load(folder, data_files={"train": "**"})["train"]
    domain = to_labelled(data, 8, train=True, root=Path())
    assert domain.classes == tuple(STATIONS)
    number = data.features["label"].str2int("train_station")
    assert len(to_unlabelled(data.filter(lambda row: row["label"] == number), 8, train=True)) == 2


def test_a_name_is_refused_before_it_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the working directory has a name as one on the hub, for the library."""
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("dacbn.datasets.hugging_face.try_to_connect", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "user/photos", {"bus": 2, "car": 2, "train": 2})
    write(tmp_path / "user/parts", {"train/bus": 2, "train/car": 2, "test/bus": 1, "test/car": 1})
    with pytest.raises(ValueError, match=r"'user/photos', data_files=\{'train': '\*\*'\}\)\.save"):
        to_labelled("hf:user/photos", 8, train=True, root=Path())
    assert not [*(tmp_path / "cache").rglob("*.arrow")]
    cured = hub.load_dataset("user/photos", data_files={"train": "**"})
    assert to_labelled(cured, 8, train=True, root=Path()).classes == ("bus", "car", "train")
    assert to_labelled("hf:user/parts", 8, train=True, root=Path()).classes == ("bus", "car")
