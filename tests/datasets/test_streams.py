"""Shards behind addresses, read as a stream by webdataset: order, resume, labels and mistakes."""

import io
import re
import sys
import tarfile
from collections.abc import Callable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dacbn.datasets import load_unlabelled
from dacbn.datasets.streams import ShardStream, StreamedBatch, is_stream, open_stream

webdataset = pytest.importorskip("webdataset", reason="needs pip install 'dacbn[webdataset]'")

SIZE, EACH, SHARDS = 4, 15, 4
COUNT = EACH * SHARDS


def png(level: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (5, 4), (level, level, level)).save(content, "PNG")
    return content.getvalue()


def write(path: Path, samples: Sequence[dict[str, Any]]) -> Path:
    with webdataset.TarWriter(str(path)) as writer:
        for sample in samples:
            writer.write(sample)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of shards of images whose grey level is their number."""
    place = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        numbers = range(shard * EACH, (shard + 1) * EACH)
        rows = [{"__key__": f"{n:05d}", "png": png(n), "cls": n % 3} for n in numbers]
        write(place / f"photos-{shard}.tar", rows)
    (place / "classes.txt").write_text("mug\nbike\ncup\n")
    return place


ADDRESSES = ["pipe:cat {}/photos-{{0..3}}.tar", "file:{}/photos-{{0..3}}.tar"]


def batches(stream: ShardStream, count: int, size: int = 8, **options: Any) -> list[StreamedBatch]:
    start = options.pop("start", 0) * size
    return list(stream.batches(repeat(size, count), **{"seed": 1, "start": start, **options}))


def levels(found: Sequence[StreamedBatch]) -> list[int]:
    return torch.cat([batch.pixels[:, 0, 0, 0] for batch in found]).tolist()


def epochs(stream: ShardStream, count: int, seed: int = 1) -> list[list[int]]:
    seen = levels(batches(stream, count, size=COUNT, seed=seed))
    return [seen[start : start + COUNT] for start in range(0, count * COUNT, COUNT)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_epoch_has_each_image_once_in_an_order_of_its_own(folder: Path, address: str) -> None:
    stream = open_stream(address.format(folder), SIZE, with_labels=True)
    first, second, third = epochs(stream, 3)
    assert sorted(first) == sorted(second) == sorted(third) == list(range(COUNT))
    assert len({tuple(each) for each in (first, second, third, range(COUNT))}) == 4
    assert epochs(stream, 3) == [first, second, third]
    assert epochs(stream, 1, seed=2) != [first]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("start", [0, 3, 7, 8, 19])
def test_a_resumed_stream_yields_the_batches_of_an_uninterrupted_one(
    folder: Path, address: str, start: int
) -> None:
    """With 7.5 batches in an epoch, starts lie within the first, the second and the third."""
    stream = open_stream(address.format(folder), SIZE, with_labels=True)
    whole, resumed = batches(stream, 24), batches(stream, 24 - start, start=start)
    for batch, again in zip(whole[start:], resumed, strict=True):
        assert torch.equal(batch.pixels, again.pixels)
        assert batch.labels is not None and again.labels is not None
        assert torch.equal(batch.labels, again.labels)


def test_neighbouring_seeds_share_no_order(folder: Path) -> None:
    """In webdataset 1.0.2, detshuffle orders by seed + epoch: seed 0 would repeat those of 1."""
    stream = open_stream(ADDRESSES[1].format(folder), SIZE, with_labels=False)
    orders = [tuple(order) for seed in (0, 1, 2) for order in epochs(stream, 2, seed=seed)]
    assert len(set(orders)) == 6


def test_a_stream_depends_on_no_size_of_a_batch(folder: Path) -> None:
    stream = open_stream(ADDRESSES[1].format(folder), SIZE, with_labels=False)
    sizes = [3, 0, 5, 2] * 4
    assert levels(list(stream.batches(sizes, 1, 6))) == levels(batches(stream, 23, size=2))[6:]


def test_what_a_start_skips_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    decode = "dacbn.datasets.streams.decode"
    monkeypatch.setattr(
        decode, lambda file, *_: decoded.append(str(file)) or torch.zeros(3, SIZE, SIZE)
    )
    stream = open_stream(ADDRESSES[1].format(folder), SIZE, with_labels=False)
    batches(stream, 1, start=5)
    assert len(decoded) == 8


def test_numbers_are_classes_by_the_file_beside_the_shards(folder: Path) -> None:
    stream = open_stream(ADDRESSES[0].format(folder), SIZE, with_labels=True)
    assert stream.classes == ("bike", "cup", "mug")
    (batch,) = batches(stream, 1, size=20)
    assert batch.labels is not None
    found = [stream.classes[label] for label in batch.labels]
    assert found == [["mug", "bike", "cup"][level % 3] for level in levels([batch])]
    assert (
        batches(open_stream(ADDRESSES[0].format(folder), SIZE, with_labels=False), 1)[0].labels
        is None
    )


def test_the_pixels_are_those_of_files(folder: Path, tmp_path: Path) -> None:
    from dacbn.datasets import to_unlabelled

    random = torch.Generator().manual_seed(0)
    image = Image.fromarray(torch.randint(0, 256, (9, 16, 4), generator=random).byte().numpy())
    image.save(tmp_path / "a.png")
    write(tmp_path / "a.tar", [{"__key__": "a", "png": (tmp_path / "a.png").read_bytes()}])
    stream = open_stream(f"file:{tmp_path}/a.tar", SIZE, with_labels=False, fit="pad")
    expected = to_unlabelled([tmp_path / "a.png"], SIZE, train=True, fit="pad").images
    assert torch.equal(batches(stream, 1, size=1)[0].pixels, expected.gather(torch.tensor([0])))


def test_processes_and_workers_share_the_shards(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = open_stream(ADDRESSES[1].format(folder), SIZE, with_labels=False)
    seen: list[int] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        seen += levels(batches(stream, 1, size=COUNT // 2))
    assert sorted(seen) == list(range(COUNT))
    monkeypatch.setenv("WORLD_SIZE", "5")
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(ValueError, match="give at least as many shards as processes"):
        batches(stream, 1)


def test_an_image_that_cannot_be_read_gives_its_place_to_another(tmp_path: Path) -> None:
    """So what a resumed run skips need not be decoded to be counted."""
    rows = [{"__key__": f"{n}", "png": b"text" if n == 2 else png(n), "cls": n} for n in range(4)]
    write(tmp_path / "a.tar", rows)
    (tmp_path / "classes.txt").write_text("0\n1\n2\n3\n")
    stream = open_stream(f"file:{tmp_path}/a.tar", SIZE, with_labels=True)
    with pytest.warns(
        UserWarning, match=r"1 image is unreadable: .*a\.tar/2\.png \(no image format"
    ):
        (batch,) = batches(stream, 1, size=4)
    assert batch.labels is not None and batch.labels.tolist() == levels([batch])
    assert set(levels([batch])) == {0, 1, 3}
    stream = open_stream(f"file:{tmp_path}/a.tar", SIZE, with_labels=True, on_unreadable="raise")
    with pytest.raises(ValueError, match=r"a\.tar/2\.png"):
        batches(stream, 1, size=4)


def half_samples(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in {"a.png": png(0), "b.png": png(1), "a.cls": b"0"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def cut_between_images(path: Path) -> None:
    write(path, [{"__key__": f"{n}", "png": png(n), "cls": 0} for n in range(3)])
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-2]
    path.write_bytes(path.read_bytes()[: last.offset])


def cut_within_an_image(path: Path) -> None:
    cut_between_images(path)
    path.write_bytes(path.read_bytes()[:-500])


def rows(*samples: dict[str, Any]) -> Callable[[Path], object]:
    return lambda path: write(path, samples)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (rows(), "holds no images: write them as fields such as jpg"),
        (rows({"__key__": "a", "cls": 0}), "holds no images"),
        (rows({"__key__": "a", "png": png(0)}), "a.png: it has no label: write a field cls"),
        (rows({"__key__": "a", "png": png(0), "cls": 7}), "names 3 classes, and not '7': add it"),
        (half_samples, "sample 'a' of"),
        (cut_between_images, "cannot be read (its end is missing): write it again"),
        (cut_within_an_image, "cannot be read (unexpected end of data): write it again"),
        (lambda path: path.write_bytes(b"text" * 500), "cannot be read ("),
        (lambda path: None, "cannot be read ("),
    ],
)
@pytest.mark.parametrize("address", ["file:{}/a.tar", "pipe:cat {}/a.tar 2> /dev/null"])
def test_a_mistake_names_the_shard_and_the_cure(
    tmp_path: Path, make: Callable[[Path], object], message: str, address: str
) -> None:
    make(tmp_path / "a.tar")
    (tmp_path / "classes.txt").write_text("mug\nbike\ncup\n")
    stream = open_stream(address.format(tmp_path), SIZE, with_labels=True)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        batches(stream, 2)
    assert "a.tar" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_shard_of_a_pattern_is_named_when_it_is_reached(folder: Path) -> None:
    stream = open_stream(f"file:{folder}/photos-{{0..4}}.tar", SIZE, with_labels=False)
    with pytest.raises(ValueError, match=r"photos-4\.tar cannot be read \(No such file"):
        batches(stream, 20)


def test_a_pipe_that_fails_after_its_last_image_is_noticed(folder: Path) -> None:
    stream = open_stream(f"pipe:cat {folder}/photos-0.tar; exit 3", SIZE, with_labels=False)
    with pytest.raises(ValueError, match=r"exit 3 cannot be read \(.*exit 3"):
        batches(stream, 2)


@pytest.mark.parametrize(
    ("address", "beside"),
    [
        ("file:{}/photos-{{0..3}}.tar", "file:{}/classes.txt"),
        ("pipe:cat {}/photos-{{0..3}}.tar | cat", "pipe:cat {}/classes.txt | cat"),
    ],
)
def test_without_the_names_of_classes_the_message_says_where_to_write_them(
    tmp_path: Path, address: str, beside: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(beside.format(tmp_path))) as caught:
        open_stream(address.format(tmp_path), SIZE, with_labels=True)
    assert "write the name of each class there, in line k that of label k" in str(caught.value)


def test_without_a_network_the_message_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dacbn.datasets.streams.try_to_connect", lambda _: "no route")
    with pytest.raises(ValueError, match=r"\(no route\): copy the shards here and give their path"):
        open_stream("https://host/photos-{0..3}.tar", SIZE, with_labels=True)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_stream_in_place_of_a_folder_is_refused_with_its_cure(
    kind: type[str] | type[Path],
) -> None:
    with pytest.raises(ValueError, match=r"is a stream, .* nothing else: copy the shards here"):
        load_unlabelled(kind("https://host/a-{0..3}.tar"), train=True, root=Path())


def test_what_is_the_address_of_a_stream() -> None:
    streams = ["https://host/a-{0..3}.tar", "pipe:aws s3 cp s3://b/a-{0..3}.tar -", "file:a.tar"]
    others = ["a-{0..3}.tar", "/data/a.tar", "hf:user/photos", "C:/data/a.tar", Path("a.tar"), 3]
    assert all(map(is_stream, streams)) and not any(map(is_stream, others))


def test_without_the_library_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'dacbn[webdataset]'")):
        open_stream("file:a.tar", SIZE, with_labels=False)
