"""Read webdataset shards that lie elsewhere as a stream, for data larger than the disk.

In every epoch the shards come in another order, and images are drawn from a buffer: both orders
follow from the seed and the epoch alone. A start at image n reads, and does not decode, what comes
before it.

An address may be a command. It is run if it was given in this process, and never if it was read
from a file: a run folder that came from somewhere else must not run anything.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import NamedTuple, Protocol, TypeGuard

import torch
from torch import Tensor

from dacbn.connection import try_to_connect
from dacbn.datasets.decoding import UnreadableImageError, decode
from dacbn.datasets.fitting import Fit
from dacbn.datasets.many_files import OnUnreadable, report_unreadable
from dacbn.datasets.shard_epochs import (
    StreamedFile,
    error_line,
    import_webdataset,
    read_epoch,
    read_epochs,
)
from dacbn.datasets.shard_labels import CLASSES, FIELDS, name_labels, parse_classes, read_label
from dacbn.datasets.shards import expand_braces

COMMAND = "the command "  # begins the recorded name of an address that may run a program
ADDRESS = re.compile(rf"[a-z][a-z0-9]+:|{COMMAND}", re.ASCII)  # a drive of Windows has one letter
# what runs no program of the reader's choice, whatever webdataset hands it to
HARMLESS = re.compile(
    r"file:.*|https?:[^\s'\"`\\$]*|(?!pipe:)[a-z][a-z0-9]+:[\w./:@%=+,~{}-]*", re.ASCII
)
SHARD_NAME = re.compile(r"([^/\s'\"]+)\.(?:tar|tgz)\b[^/\s'\"]*")


class StreamedBatch(NamedTuple):
    """Images uint8 (B, 3, S, S), and their labels int64 (B,); None without labels."""

    pixels: Tensor
    labels: Tensor | None


class StreamedImages(Protocol):
    """Square RGB images that can only be read in the order of a stream, without end."""

    @property
    def size(self) -> int:
        """Pixels per side."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The name of every class, in the order of the labels; None without labels."""

    def batches(self, sizes: Iterable[int], seed: int, start: int = 0) -> Iterator[StreamedBatch]:
        """Yield a batch of each size, from image number `start` of the stream on.

        The same seed gives the same stream: its images depend on neither sizes nor start.
        """

    def reader(self, seed: int) -> Callable[[Tensor], StreamedBatch]:
        """Return a function: positions in the stream, int64 (B,) -> the images there.

        Positions must increase, also from call to call. The same seed gives the same stream, in
        every process.
        """


@dataclass(frozen=True)
class ShardStream:
    """Images of shards behind addresses such as "https://…" or "pipe:…", as `StreamedImages`.

    Args:
        shards: address of each shard.
        size: pixels per side.
        names: what `classes.txt` calls each number; None to read no labels.
        classes: the names in the order of the labels; None without labels.
        fit: how an image becomes square.
        on_unreadable: give the place of an image that cannot be read to another one of its batch,
            with a warning, or raise.
    """

    shards: tuple[str, ...]
    size: int
    names: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    fit: Fit = "crop"
    on_unreadable: OnUnreadable = "skip"

    def batches(self, sizes: Iterable[int], seed: int, start: int = 0) -> Iterator[StreamedBatch]:
        """Yield batches as `StreamedImages` says; one may span two epochs.

        Raises:
            ModuleNotFoundError: webdataset is not installed.
            ValueError: a shard cannot be read, or holds a sample without an image or a label; the
                message names the shard.
        """
        epochs = (read_epoch(self.shards, seed, epoch) for epoch in count())
        files = islice(chain.from_iterable(epochs), start, None)
        with ThreadPoolExecutor() as threads:  # decoding releases the GIL
            for size in sizes:
                yield self._decode(list(islice(files, size)), threads)

    def reader(self, seed: int) -> Callable[[Tensor], StreamedBatch]:
        """Return a function as `StreamedImages` says; it decodes no other images.

        Raises:
            ModuleNotFoundError, ValueError: as in `batches`, when the function is called.
        """
        files: Iterator[StreamedFile] = iter(())
        reached: int | None = None

        def read(positions: Tensor) -> StreamedBatch:
            nonlocal files, reached
            batch: list[StreamedFile] = []
            for position in positions.tolist():
                if reached is None:
                    files, reached = read_epochs(self.shards, seed, position), position
                batch += islice(files, position - reached, position - reached + 1)
                reached = position + 1
            with ThreadPoolExecutor() as threads:
                return self._decode(batch, threads)

        return read

    def _decode(self, files: list[StreamedFile], threads: ThreadPoolExecutor) -> StreamedBatch:
        pictures = list(threads.map(self._read, files))
        good = {row: each for row, each in enumerate(pictures) if isinstance(each, Tensor)}
        rows = self._rows(files, pictures, list(good))
        none = torch.zeros(0, 3, self.size, self.size, dtype=torch.uint8)
        pixels = torch.stack([good[row] for row in rows]) if files else none
        return StreamedBatch(pixels, self._labels([files[row] for row in rows]))

    def _read(self, file: StreamedFile) -> Tensor | str:
        try:
            return decode(file, self.size, self.fit)
        except UnreadableImageError as error:
            return error.reason

    def _rows(
        self, files: list[StreamedFile], pictures: list[Tensor | str], good: list[int]
    ) -> list[int]:
        """Return for each place of a batch the row of the image that takes it."""
        failures = [
            (file, picture)
            for file, picture in zip(files, pictures, strict=True)
            if isinstance(picture, str)
        ]
        report_unreadable(failures, self.on_unreadable)
        if failures and not good:
            raise ValueError(f"no image of a batch can be read: {failures[0][0]}: {failures[0][1]}")
        return [row if row in good else good[row % len(good)] for row in range(len(files))]

    def _labels(self, files: list[StreamedFile]) -> Tensor | None:
        if self.names is None or self.classes is None:
            return None
        labels = [self.classes.index(_label(file, self.names)) for file in files]
        return torch.tensor(labels, dtype=torch.int64)


def is_stream(data: object) -> TypeGuard[str]:
    """Return whether this is the address of shards, or its recorded name.

    It may hold a brace pattern.
    """
    return isinstance(data, str) and bool(ADDRESS.match(data)) and bool(SHARD_NAME.search(data))


def name_shards(place: str) -> str:
    """Return the name of the shards of a stream, as a name of files; empty of another place.

    Example:
        >>> name_shards("https://host/photos-{000..010}.tar?key=1"), name_shards("digits")
        ('photos-{000..010}', '')
    """
    return SHARD_NAME.findall(place)[0].rpartition(":")[2] if is_stream(place) else ""


def record_place(place: str) -> str:
    """Return what a file may hold of a place: an address that may run a program is only named.

    Example:
        >>> record_place("https://host/a.tar"), record_place("pipe:cat a.tar")
        ('https://host/a.tar', 'the command cat a.tar')
    """
    if not is_stream(place) or place.startswith(COMMAND) or HARMLESS.fullmatch(place):
        return place
    return COMMAND + place.removeprefix("pipe:")


def open_stream(
    pattern: str,
    size: int,
    with_labels: bool,
    fit: Fit = "crop",
    on_unreadable: OnUnreadable = "skip",
) -> ShardStream:
    """Open shards behind addresses, and the file `classes.txt` beside them if labels are wanted.

    Args:
        pattern: an address such as "https://host/photos-{000..010}.tar" or "file:…"; or "pipe:…",
            with a command, which the shell runs.
        size: pixels per side.
        with_labels: whether to read labels.
        fit: how an image becomes square.
        on_unreadable: as in `ShardStream`.

    Raises:
        ModuleNotFoundError: webdataset is not installed.
        ValueError: the network cannot be reached, `classes.txt` is missing or broken, or the
            address is the name of a command in a file, which is not run.
    """
    if pattern.startswith(COMMAND):
        raise ValueError(
            f"{pattern} is named in config.json, whose commands are never run: if you trust it, "
            f"give it yourself, in Python: DomainAdapter.from_run(RUN).fit("
            f"{'pipe:' + pattern.removeprefix(COMMAND)!r}, ..., run=RUN, resume=True)"
        )
    library = import_webdataset(pattern)
    shards = tuple(expand_braces(pattern))
    if pattern.startswith("http") and (reason := try_to_connect(shards[0])):
        raise ValueError(
            f"cannot read {pattern} ({reason}): copy the shards here and give their path"
        )
    if not with_labels:
        return ShardStream(shards, size, None, None, fit, on_unreadable)
    beside = SHARD_NAME.sub(CLASSES, shards[0])
    try:
        with library.gopen(beside) as file:
            names = parse_classes(file.read().decode())
    except Exception as error:  # of the system, or of a program in a pipe
        raise ValueError(
            f"{beside} cannot be read ({error_line(error)}): write the name of each class there, "
            "in line k that of label k, from 0"
        ) from error
    return ShardStream(shards, size, names, tuple(sorted(names)), fit, on_unreadable)


def _label(file: StreamedFile, names: Sequence[str]) -> str:
    try:
        texts = (read_label(kind, file.fields[kind]) for kind in FIELDS if kind in file.fields)
        label = next((text for text in texts if text is not None), None)
        if label is None:
            raise ValueError("it has no label: write a field cls for each image")
        return str(name_labels([label], names)[0])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
