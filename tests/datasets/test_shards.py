"""Shards on a disk, written by webdataset: read image by image, in the order of the run's seed."""

import io
import re
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dacbn.datasets import (
    is_flat_folder,
    list_images,
    load_labelled,
    read_every,
    shards,
    stream_batches,
    to_labelled,
    to_unlabelled,
)

webdataset = pytest.importorskip("webdataset", reason="needs pip install 'dacbn[webdataset]'")

SIZE = 8


def png(level: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (12, 10), (level, level, level)).save(content, "PNG")
    return content.getvalue()


def write(path: Path, samples: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with webdataset.TarWriter(str(path)) as writer:
        for sample in samples:
            writer.write(sample)
    return path


def write_shards(folder: Path, shards: int = 3, each: int = 20) -> str:
    """Write shards of images of classes 0, 1 and 2, whose grey level is their number."""
    for shard in range(shards):
        first = shard * each
        rows = [
            {"__key__": f"{number:05d}", "png": png(number), "cls": number % 3}
            for number in range(first, first + each)
        ]
        write(folder / f"photos-{shard:03d}.tar", rows)
    return f"{folder}/photos-{{000..{shards - 1:03d}}}.tar"


def read(place: Any, train: bool = True, **options: Any) -> Any:
    return to_labelled(place, SIZE, train, root=Path(), **options)


def levels(images: Any) -> list[int]:
    return images.gather(torch.arange(len(images)))[:, 0, 0, 0].tolist()


def test_parts_are_those_of_a_folder_and_new_shards_move_no_image(tmp_path: Path) -> None:
    pattern = write_shards(tmp_path)
    train, test = read(pattern), read(pattern, train=False)
    assert train.classes == test.classes == ("0", "1", "2")
    assert sorted(levels(train.images) + levels(test.images)) == list(range(60))
    assert [level % 3 for level in levels(train.images)] == train.labels.tolist()
    assert 4 <= len(test) <= 25
    more = read(write_shards(tmp_path, shards=4), train=False)
    assert {level for level in levels(more.images) if level < 60} == set(levels(test.images))
    assert not is_flat_folder(pattern)
    whole = load_labelled(pattern, train=False, root=Path(), size=SIZE, trained_on=[])
    assert len(whole) == 60


def test_a_pattern_may_have_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert len(to_unlabelled("photos-{000..001}.tar", SIZE, train=True, root=Path())) < 40
    assert len(list_images("photos-002.tar")) == 20
    every = read_every("photos-001.tar", SIZE)
    assert levels(every.images) == list(range(20, 40))
    assert str(every.files[0]) == "photos-001.tar/00020.png"


def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(tmp_path: Path) -> None:
    domain = read(write_shards(tmp_path))
    options: dict[str, Any] = {"family": "none", "strong": False, "seed": 1, "device": "cpu"}
    options |= {"source_batch_size": 7, "target_batch_size": 7, "stop": 20}
    whole = list(stream_batches([domain], [domain.without_labels()], **options))
    resumed = list(stream_batches([domain], [domain.without_labels()], start=13, **options))
    for batch, again in zip(whole[13:], resumed, strict=True):
        assert torch.equal(batch.source_images, again.source_images)
        assert torch.equal(batch.target_images, again.target_images)


@pytest.mark.parametrize(
    ("fields", "names", "expected"),
    [
        ([{"cls": 1}, {"cls": 0}], None, ["1", "0"]),
        ([{"cls": 10}, {"cls": 9}], None, ["10", "9"]),
        ([{"cls": 1}, {"cls": 0}], "mug\nbike\n", ["bike", "mug"]),
        (
            [{"txt": "a photo", "cls": "bike"}, {"txt": "another", "cls": "mug"}],
            None,
            ["bike", "mug"],
        ),
        ([{"json": {"label": 1}}, {"json": {"label": 0}}], "mug\nbike", ["bike", "mug"]),
        ([{"json": {"label": "bike"}}, {"json": {"label": "mug"}}], None, ["bike", "mug"]),
    ],
)
def test_labels_of_each_kind(
    tmp_path: Path, fields: list[dict[str, Any]], names: str | None, expected: list[str]
) -> None:
    rows = [{"__key__": f"a{n}", "png": png(n), **each} for n, each in enumerate(fields)]
    shard = write(tmp_path / "a.tar", rows)
    if names:
        (tmp_path / "classes.txt").write_text(names)
    domain = load_labelled(shard, train=False, root=Path(), size=SIZE, trained_on=[])
    labels = dict(zip(levels(domain.images), domain.labels.tolist(), strict=True))
    assert [domain.classes[labels[n]] for n in range(2)] == expected


def test_json_without_a_label_and_captions_make_an_unlabelled_target(tmp_path: Path) -> None:
    rows = [{"__key__": f"{n}", "png": png(n), "json": {"w": n}, "txt": "a cat"} for n in range(3)]
    shard = write(tmp_path / "a.tar", rows)
    assert is_flat_folder(shard)
    assert levels(to_unlabelled(shard, SIZE, train=True, root=Path()).images) == [0, 1, 2]
    with pytest.raises(ValueError, match="has no labels: write them into it"):
        read(shard)


def test_dots_in_names_keep_samples_apart(tmp_path: Path) -> None:
    """The library itself would take both for one sample, since a key ends at the first dot."""
    rows = [{"__key__": f"lens.{n}x", "png": png(n), "cls": n} for n in range(2)]
    shard = write(tmp_path / "a.tar", rows)
    domain = load_labelled(shard, train=False, root=Path(), size=SIZE, trained_on=[])
    assert levels(domain.images) == domain.labels.tolist() == [0, 1]


def test_fields_of_a_sample_may_stand_apart(tmp_path: Path) -> None:
    """As in a tar of one folder of images and one of labels; a stream would have half samples."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        members = {f"{n}.PNG": png(n) for n in range(2)} | {f"{n}.cls": b"%d" % n for n in range(2)}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path = tmp_path / "a.tar"
    domain = load_labelled(path, train=False, root=Path(), size=SIZE, trained_on=[])
    assert levels(domain.images) == domain.labels.tolist() == [0, 1]


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    rows = [{"__key__": f"{n}", "png": png(n)} for n in range(2)]
    shard = write(tmp_path / "a.tar", [*rows, {"__key__": "2", "png": b"text"}])
    with pytest.warns(UserWarning, match=r"a\.tar/2\.png \(no image format that Pillow reads\)"):
        assert levels(to_unlabelled(shard, SIZE, train=True, root=Path()).images) == [0, 1]


def sample(key: str, **fields: Any) -> dict[str, Any]:
    return {"__key__": key, **fields}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "a.tar holds no images: write them as fields such as jpg"),
        ([sample("a", cls=1)], "a.tar holds no images"),
        ([sample("a", png=png(0), cls=1), sample("b", png=png(1))], "1 of 2 images of"),
        ([sample("a", png=png(0), cls=1), sample("b", cls=1)], "sample 'b' of"),
        ([sample("a", **{"left.png": png(0), "right.png": png(1)}, cls=1)], "'a' of"),
        ([sample("a", png=png(0), json={"label": [1, 2]})], "the label [1, 2] is neither"),
        ([sample("a", png=png(0), cls=-1)], "1 of 1 labels are negative: leave these images out"),
        ([sample("a", png=png(0), cls=1), sample("a", png=png(0))], "a.png comes twice: keep one"),
    ],
)
def test_mistakes_have_a_cure_in_one_line(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(write(tmp_path / "a.tar", rows))
    assert "a.tar" in str(caught.value) and "\n" not in str(caught.value)


def test_a_number_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("mug\nbike\n")
    shard = write(tmp_path / "a.tar", [sample("a", png=png(0), cls=2)])
    with pytest.raises(ValueError, match=r"classes.txt names 2 classes, and not '2': add it"):
        read(shard)
    (tmp_path / "classes.txt").write_text("mug\nmug\n")
    with pytest.raises(ValueError, match=r"classes.txt must have one name in each line"):
        read(shard)


def test_a_missing_shard_of_a_pattern_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path)
    message = (
        r"1 of 4 shards of .*photos-\{000\.\.003\}\.tar do not exist, the first is .*003\.tar: "
    )
    with pytest.raises(FileNotFoundError, match=message):
        read(f"{tmp_path}/photos-{{000..003}}.tar")


@pytest.mark.parametrize("lost", [1, 1000, 1024, 11000])
def test_a_shard_that_was_cut_short_is_named(tmp_path: Path, lost: int) -> None:
    """At any place, between two images too, where a reader of tar files notices nothing."""
    write_shards(tmp_path, shards=2)
    shard = tmp_path / "photos-001.tar"
    content = shard.read_bytes().rstrip(b"\0")
    end = (len(content) + 511) // 512 * 512
    shard.write_bytes(content.ljust(end, b"\0")[: end - lost if lost != 1024 else end])
    with pytest.raises(
        ValueError, match=r"photos-001\.tar cannot be read .*: write or copy it again"
    ):
        read(f"{tmp_path}/photos-{{000..001}}.tar")


def test_shards_are_listed_once_and_again_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training asks for both parts of a domain, and what it was trained on, nine times in all."""
    pattern, listed = write_shards(tmp_path, shards=2), []
    read_shard = shards._read_shard
    monkeypatch.setattr(
        shards, "_read_shard", lambda shard: listed.append(shard.name) or read_shard(shard)
    )
    first = shards.list_shards(pattern)
    assert shards.list_shards(pattern) == first and listed == ["photos-000.tar", "photos-001.tar"]
    assert len(read(pattern)) + len(read(pattern, train=False)) == 40 and len(listed) == 2
    write_shards(tmp_path, shards=2)
    assert shards.list_shards(pattern) == first and len(listed) == 4
    (tmp_path / "classes.txt").write_text("mug\nbike\ncup\n")
    assert shards.list_shards(pattern).labels[:3] == ("mug", "bike", "cup") and len(listed) == 6


def test_a_compressed_shard_is_refused(tmp_path: Path) -> None:
    shard = write(tmp_path / "a.tar.gz", [sample("a", png=png(0), cls=1)])
    with pytest.raises(ValueError, match=r"a\.tar\.gz is compressed: unpack it"):
        read(shard)


def test_without_the_library_one_shard_is_read_and_patterns_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = write_shards(tmp_path)
    monkeypatch.setitem(sys.modules, "braceexpand", None)
    assert len(list_images(tmp_path / "photos-000.tar")) == 20
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'dacbn[webdataset]'")):
        read(pattern)
