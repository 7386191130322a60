"""Read one epoch of shards behind addresses, by webdataset, in an order that its seed decides.

webdataset ends a shard without a word where its bytes end between two images, and may miss that the
program of a pipe failed. Both are noticed here.
"""

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain, count, islice
from typing import IO, Any

import numpy as np

from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.packed import PackedFile
from dacbn.datasets.shard_labels import FIELDS
from dacbn.datasets.shards import BLOCK, COMPRESSED

BUFFER = 1000  # images, not decoded, from which the next one is drawn
CURE = "write it again, or see that its address gives all of it"


class StreamedFile(PackedFile):
    """An image of a stream, with its bytes and the fields of its sample."""

    __slots__ = ("content", "fields", "name")

    def __init__(self, name: str, content: bytes, fields: dict[str, bytes]) -> None:
        self.name, self.content, self.fields = name, content, fields

    def __fspath__(self) -> str:
        return self.name

    def read_bytes(self) -> bytes:
        """Return the bytes."""
        return self.content


def read_epochs(shards: tuple[str, ...], seed: int, start: int) -> Iterator[StreamedFile]:
    """Yield the images of all epochs, without end, from image number `start` on.

    Every process reads all of them. All epochs have as many images as the first: what is skipped
    is read once at most, to count it.

    Args:
        shards: addresses.
        seed: as in `read_epoch`.
        start: images to skip.

    Raises:
        ValueError: a shard cannot be read, or holds a sample that is not one image.
    """
    first = read_epoch(shards, seed, 0, split=False)
    skipped = sum(1 for _ in islice(first, start))
    begin, rest = (1, 0) if skipped == start else divmod(start, skipped)
    others = (read_epoch(shards, seed, epoch, split=False) for epoch in count(begin))
    return chain(first, islice(chain.from_iterable(others), rest, None))


def read_epoch(
    shards: tuple[str, ...], seed: int, epoch: int, split: bool = True
) -> Iterator[StreamedFile]:
    """Yield every image of this process and worker once, with the fields of its label.

    Args:
        shards: addresses.
        seed: seed of the orders of shards and images; the same in all processes.
        epoch: number of the epoch; each has orders of its own.
        split: whether each process, and each worker in it, reads others of the shards.

    Raises:
        ValueError: a shard cannot be read, or holds a sample that is not one image; or there are
            fewer shards than processes.
    """
    library = import_webdataset(shards[0])
    # the library adds seed and epoch, so that seeds next to each other would share most orders
    one = {"seed": int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0])}
    pipeline = library.DataPipeline(
        library.SimpleShardList(list(shards)),
        library.detshuffle(len(shards), len(shards), **one),
        *((library.split_by_node, library.split_by_worker) if split else ()),
        _read_members,
        library.tariterators.group_by_keys,
        _take_images,
        library.detshuffle(BUFFER, BUFFER, **one),
    )
    found = False
    for image in pipeline:
        found = True
        yield image
    if not found:
        raise ValueError(
            f"{shards[0]}: there is no shard for each process: give at least as many shards as "
            f"processes, of which there are more than {len(shards)}"
        )


def import_webdataset(what: str) -> Any:
    """Return the library.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return import_module("webdataset")
    except ModuleNotFoundError as error:
        if error.name != "webdataset":
            raise
        raise ModuleNotFoundError(
            f"{what} needs webdataset: pip install 'dacbn[webdataset]'", name="webdataset"
        ) from error


def error_line(error: Exception) -> str:
    """Return the first line of what an error of a library says."""
    said = getattr(error, "strerror", None) or (error.args or [type(error).__name__])[0]
    return str(said).split(" @ ")[0].splitlines()[0]  # after which stands an object's address


class _Watched:
    """An open stream that remembers its last bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.last = stream, b""

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        self.last = (self.last + content)[-BLOCK:]
        return content


def _read_members(sources: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the name and bytes of every member, and an empty dictionary at the end of a shard."""
    library = import_module("webdataset")
    for source in sources:
        shard, images = source["url"], 0
        try:
            watched = _Watched(stream := library.gopen(shard))
        except Exception as error:  # of the system, or of the address
            raise ValueError(f"{shard} cannot be read ({error_line(error)}): {CURE}") from error
        try:
            for member in library.tariterators.tar_file_iterator(watched):
                images += f".{member['fname'].rpartition('.')[2].lower()}" in SUFFIXES
                yield {**member, "__url__": shard}
            while watched.read(1 << 16):  # up to the end, where a pipe says whether it failed
                pass
            stream.close()
        except Exception as error:  # of tarfile, of the system, of a program in a pipe
            raise ValueError(f"{shard} cannot be read ({error_line(error)}): {CURE}") from error
        finally:
            with suppress(Exception):  # the program of a pipe that is left midway fails
                stream.close()
        if any(watched.last) and not shard.lower().endswith(COMPRESSED):
            raise ValueError(f"{shard} cannot be read (its end is missing): {CURE}")
        if not images:
            raise ValueError(
                f"{shard} holds no images: write them as fields such as jpg, or leave the shard out"
            )
        yield {}


def _take_images(samples: Iterator[dict[str, Any]]) -> Iterator[StreamedFile]:
    for sample in samples:
        key, shard = sample["__key__"], sample["__url__"]
        fields = {name: value for name, value in sample.items() if not name.startswith("__")}
        images = [name for name in fields if f".{name.rpartition('.')[2]}" in SUFFIXES]
        labels = {
            kind: value
            for name, value in fields.items()
            if (kind := name.rpartition(".")[2]) in FIELDS
        }
        if len(images) == 1:
            yield StreamedFile(f"{shard}/{key}.{images[0]}", fields[images[0]], labels)
        elif images or labels:
            raise ValueError(
                f"sample {key!r} of {shard} has {len(images)} images (its fields: "
                f"{', '.join(fields)}): write one for each sample, its fields side by side, under "
                "names that have no dots"
            )
