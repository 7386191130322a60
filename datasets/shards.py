"""List the images in webdataset shards on a disk, which are then read one by one, in any order.

The headers of a tar file say where the bytes of each image lie. With them a batch is a function of
the step alone, as with folders, and the run's seed shuffles all images; streams cannot do this.

A sample is an image and its label. webdataset takes the name up to the first dot as key of a
sample; here a label belongs to the image with the same name up to its last dot, if there is one.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.packed import PackedFile
from dacbn.datasets.parts import Rows
from dacbn.datasets.shard_labels import CLASSES, FIELDS, name_labels, parse_classes, read_label

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
BLOCK = 512  # bytes; a tar file consists of such blocks, and ends with empty ones


@dataclass(frozen=True, slots=True)
class ShardImage(PackedFile):
    """An image in a shard.

    Args:
        shard: the tar file.
        name: name of the image in it.
        offset: where its bytes begin.
        size: how many they are.
    """

    shard: Path
    name: str
    offset: int
    size: int

    def __fspath__(self) -> str:
        return f"{self.shard}/{self.name}"

    def read_bytes(self) -> bytes:
        """Return the bytes of the image."""
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Shard(NamedTuple):
    """What a shard holds: images, and the text of labels by the name of their sample."""

    images: list[ShardImage]
    labels: dict[str, str]


def is_shards(path: str | Path) -> bool:
    """Return whether a path, which may hold a brace pattern, is that of shards."""
    return str(path).lower().endswith((".tar", *COMPRESSED)) and not Path(path).is_dir()


def list_shards(pattern: str | Path) -> Rows:
    """List the images and labels of shards, without reading images.

    Args:
        pattern: path of one shard, or of several as in "photos-{000..010}.tar".

    Raises:
        FileNotFoundError: a shard is missing.
        ModuleNotFoundError: webdataset, whose patterns are read, is not installed.
        ValueError: a shard is broken or holds no images, or only some images have labels.
    """
    shards = tuple(expand(pattern))
    names = shards[0].parent / CLASSES
    known = names if names.is_file() else None
    states = tuple(map(_state, shards if known is None else (*shards, known)))
    return _list(str(pattern), shards, known, states)


@lru_cache(maxsize=8)  # a training asks for the parts of each domain, and what was trained on
def _list(
    pattern: str, shards: tuple[Path, ...], names: Path | None, _: tuple[tuple[int, ...], ...]
) -> Rows:
    """List shards; they are listed again if their state has changed, which is the last argument."""
    images: list[ShardImage] = []
    labels: list[str | None] = []
    for shard in shards:
        content = _read_shard(shard)
        images += content.images
        labels += _match(shard, content)
    if missing := [image for image, label in zip(images, labels, strict=True) if label is None]:
        if len(missing) == len(images):
            return Rows(tuple(images), None)
        raise ValueError(
            f"{len(missing)} of {len(images)} images of {pattern} have no label, the first is "
            f"{missing[0]}: write a field cls for each, or for none"
        )
    try:
        known = None if names is None else parse_classes(names.read_text("utf-8"))
        named = name_labels([label for label in labels if label], known)
        return Rows(tuple(images), tuple(named))  # type: ignore[arg-type]  # all are of one type
    except ValueError as error:
        raise ValueError(f"{names}: {error}") from error


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced."""
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def expand(pattern: str | Path) -> list[Path]:
    """Return the shards of a pattern.

    Raises:
        FileNotFoundError: one is missing.
        ModuleNotFoundError: there are braces, and webdataset is not installed.
        ValueError: one is compressed.
    """
    shards = [Path(pattern)]
    if "{" in str(pattern) and not shards[0].exists():
        shards = [Path(shard) for shard in expand_braces(str(pattern))]
    if missing := [shard for shard in shards if not shard.is_file()]:
        raise FileNotFoundError(
            f"{len(missing)} of {len(shards)} shards of {pattern} do not exist, the first is "
            f"{missing[0]}: copy it there, or give a pattern such as photos-{{000..010}}.tar"
        )
    if compressed := [shard for shard in shards if shard.name.lower().endswith(COMPRESSED)]:
        raise ValueError(f"{compressed[0]} is compressed: unpack it to a .tar, which is as small")
    return shards


def expand_braces(pattern: str) -> list[str]:
    """Return the texts that a brace pattern stands for.

    Raises:
        ModuleNotFoundError: webdataset is not installed.
    """
    try:
        return list(import_module("braceexpand").braceexpand(pattern))
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{pattern} needs webdataset: pip install 'dacbn[webdataset]'", name=error.name
        ) from error


def _read_shard(shard: Path) -> Shard:
    """Read the headers of a shard, and its labels."""
    images: list[ShardImage] = []
    labels: dict[str, str] = {}
    seen: set[str] = set()
    try:
        with tarfile.open(shard, "r:") as tar:
            end = 0
            for member in tar:
                end = member.offset_data + member.size
                tar.members = []  # type: ignore[attr-defined]  # which would fill the memory
                name = Path(member.name).name
                if not member.isfile() or name.startswith("."):
                    continue
                if member.name in seen:
                    raise ValueError(f"{member.name} comes twice: keep one")
                seen.add(member.name)
                stem, _, suffix = member.name.rpartition(".")
                if f".{suffix.lower()}" in SUFFIXES:
                    image = ShardImage(shard, member.name, member.offset_data, member.size)
                    images.append(image)
                elif suffix.lower() in FIELDS and (file := tar.extractfile(member)):
                    label = read_label(suffix.lower(), file.read())
                    labels |= {} if label is None else {stem: label}
        if shard.stat().st_size < end + BLOCK:
            raise ValueError("its end is missing")
    except (tarfile.TarError, ValueError) as error:
        raise ValueError(f"{shard} cannot be read ({error}): write or copy it again") from error
    if not images:
        raise ValueError(
            f"{shard} holds no images: write them as fields such as jpg, or leave the shard out"
        )
    return Shard(images, labels)


def _match(shard: Path, content: Shard) -> list[str | None]:
    """Return the label of each image of a shard; None of those without."""
    samples = [_sample(image.name, content.labels) for image in content.images]
    name, count = Counter(samples).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"sample {name!r} of {shard} has {count} images: write one image for each, under names "
            "that have no dots"
        )
    if alone := sorted(content.labels.keys() - set(samples)):
        raise ValueError(
            f"sample {alone[0]!r} of {shard} has a label and no image: write both, or neither"
        )
    return [content.labels.get(sample) for sample in samples]


def _sample(name: str, labels: dict[str, str]) -> str:
    """Return the name of the sample of an image: that of its label, or up to the first dot."""
    names = list(_shorter(name))
    return next((each for each in names if each in labels), names[-1])


def _shorter(name: str) -> Iterator[str]:
    """Yield a name without its last ending, then without the last two, and so on."""
    folder, slash, rest = name.rpartition("/")
    while "." in rest:
        rest = rest.rpartition(".")[0]
        yield folder + slash + rest
