"""Folders of classes that Hugging Face's library takes for splits, in its own words and in paths.

The library's documentation says that folders called "train", "test" and the like make splits; that
a class of such a name hides all others is seen in datasets 5.2.0.
"""

import warnings
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dacbn.datasets import to_labelled, to_unlabelled
from dacbn.datasets.classes_as_splits import (
    SPLIT,
    name_foreign,
    name_left_out,
    name_shared,
)

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
    ("folders", "left_out", "certain"),
    [
        ({"train": 9, "bus": 5, "car": 5}, "'bus', 'car'", True),
        ({"bus": 5, "car": 5, "zoo": 5}, "", False),
        ({"train/bus": 2, "train/car": 2, "test/bus": 1, "test/car": 1}, "", False),
        ({"train": 9, "test": 3, "val": 3}, "", False),
        ({"train": 9, "assets": 1, "figures": 2}, "'assets', 'figures'", False),
        ({"train": 20, "bus": 5, "car": 5}, "'bus', 'car'", False),
        ({"train": 9, "masks": 10}, "'masks'", False),
        ({"a/train": 9, "b/bus": 9, "b/car": 9}, "", False),
    ],
)
def test_classes_are_told_from_splits(
    folders: Mapping[str, int], left_out: str, certain: bool
) -> None:
    files = [f"hf://x/{name}/{i}.JPG" for name, count in folders.items() for i in range(count)]
    taken = [file for file in files if any(SPLIT.search(part) for part in file.split("/"))]
    found = name_left_out(taken or files, [*files, "hf://x/README.md", "hf://x/bus/notes.txt"])
    wanted = f"the library takes 'train' for a split and leaves out {left_out}"
    assert found == (wanted if left_out else "", certain)
    described = name_left_out([*taken, "hf://x/train/metadata.jsonl"], files)
    assert described == ("", False)


@pytest.mark.parametrize("folders", [{"bus": 2, "car": 2, "train": 2}, STATIONS])
def test_a_dataset_that_lost_its_other_classes_is_refused(
    tmp_path: Path, folders: Mapping[str, int]
) -> None:
    data = load(write(tmp_path / "photos", folders))
    for given in (data, data["train"]):
        with pytest.raises(ValueError, match="lacks classes, as the library takes") as caught:
            to_unlabelled(given, 8, train=True)
        assert f"give the folder {tmp_path / 'photos'} itself, or" in str(caught.value)


@pytest.mark.parametrize("other", ["masks", "bus"])
def test_folders_that_may_be_classes_are_named(tmp_path: Path, other: str) -> None:
    data = load(write(tmp_path / "photos", {"train": 2, other: 3}))
    with pytest.warns(UserWarning, match=f"leaves out '{other}': if those are classes, give the"):
        assert len(to_unlabelled(data, 8, train=True)) == 2


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the library's
@pytest.mark.parametrize("words", ["train", "train test"])
def test_labels_of_a_description_need_no_folders(tmp_path: Path, words: str) -> None:
    """Folders of other pictures beside the splits are more, and hold more, than these."""
    beside = {"images_orig": 5, "depth": 5, "masks": 5}
    folder = write(tmp_path / "photos", dict.fromkeys(words.split(), 2) | beside)
    for split in words.split():
        lines = ["file_name,label", "0.png,bus", "1.png,car"]
        (folder / split / "metadata.csv").write_text("\n".join(lines))
    data = load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for given in (data["train"], data["train"].remove_columns("label")):
            assert len(to_unlabelled(given, 8, train=True)) == 2
        assert to_labelled(data, 8, train=True, root=Path()).classes == ("bus", "car")


@pytest.mark.parametrize(
    ("folders", "leaky"),
    [
        (["train/bus", "train/train", "validation/bus", "validation/train"], "train"),
        (["train/train", "train/zoo", "test/train", "test/zoo"], "train"),
        (["train/test_tube", "train/cup", "test/test_tube", "test/cup"], "test"),
    ],
)
def test_a_class_in_two_splits_is_refused(tmp_path: Path, folders: list[str], leaky: str) -> None:
    folder = write(tmp_path / "photos", dict.fromkeys(folders, 2))
    data = load(folder)
    assert len(data[leaky]) > 4  # with two of the other split
    for given, found in ((data, "the splits"), (data[leaky], "one split")):
        with pytest.raises(
            ValueError, match=f"mixes splits, .* {found} .* give the folder {folder} "
        ):
            to_unlabelled(given, 8, train=True)
    cured = load(folder, data_files={"train": f"{folder}/train/**"})
    assert len(to_unlabelled(cured, 8, train=True)) == 4
    together = load(folder, data_files={"train": "**"})
    assert len(to_unlabelled(together, 8, train=True)) == 8
    one = together["train"].filter(lambda label: label == 1, input_columns="label")
    assert len(to_unlabelled(one, 8, train=True)) == 4


def test_a_split_that_a_class_made_is_refused(tmp_path: Path) -> None:
    data = load(write(tmp_path / "photos", {"train/test tube": 2, "train/bottle": 2}))
    with pytest.raises(
        ValueError, match=r"'train' and 'test' share the images of .*/test tube: give"
    ):
        to_unlabelled(data, 8, train=True)


def test_splits_may_share_images_on_purpose() -> None:
    train = ["a/train/bus/1.jpg", "a/train/car/1.jpg"]
    assert not name_shared({"train": train, "test": train[:1]})
    assert not name_shared({"train": ["train/test_1/1.jpg"], "few": ["train/test_1/1.jpg"]})
    assert not name_foreign(["bus/train/1.jpg", "car/train/1.jpg", "test tube/train/1.jpg"])
    assert not name_foreign(["a/train/bus/1.jpg", "b/train/test tube/1.jpg"])


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
    write(
        tmp_path / "user/leak", {"train/bus": 2, "train/train": 2, "test/bus": 1, "test/train": 1}
    )
    write(tmp_path / "user/masks", {"train": 3, "masks": 2})
    with pytest.raises(
        ValueError, match=r"mixes splits, as .* share the images of .*test/train, a"
    ):
        to_labelled("hf:user/leak", 8, train=True, root=Path())
    with pytest.raises(ValueError, match=r"'user/photos', data_files=\{'train': '\*\*'\}\)\.save"):
        to_labelled("hf:user/photos", 8, train=True, root=Path())
    assert not [*(tmp_path / "cache").rglob("*.arrow")]
    with pytest.warns(
        UserWarning, match="may lack classes, as .* leaves out 'masks': if those are"
    ):
        to_unlabelled("hf:user/masks", 8, train=True, root=Path())
    cured = hub.load_dataset("user/photos", data_files={"train": "**"})
    assert to_labelled(cured, 8, train=True, root=Path()).classes == ("bus", "car", "train")
    assert to_labelled("hf:user/parts", 8, train=True, root=Path()).classes == ("bus", "car")
