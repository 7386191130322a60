"""Decoded images of one folder on the disk: a file of pixels, and an index of what is in it.

The index has one line of JSON for each image, behind one that names the file of pixels. Both files
only grow. Images are written in blocks, the lines when the pixels are on the disk: a process that
is killed loses one block, and the next one goes on behind the last whole line.
"""

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from dacbn.datasets.cached_images import image_bytes
from dacbn.datasets.decoding import Picture
from dacbn.datasets.fitting import Fit
from dacbn.datasets.many_files import Outcome, decode_into

BLOCK = 32 * 1024**2  # bytes of pixels that are written at once

Signature: TypeAlias = tuple[str, int, int]
"""Path of an image, its bytes, and the time of its last change in ns."""


class Known(NamedTuple):
    """What is known of an image: its row in the file of pixels, and as in `Picture`."""

    row: int
    note: str | None
    peak: int | None


class PixelStore:
    """The decoded images of one folder; whoever makes one holds its lock.

    Args:
        index: the file of the index.
        size: pixels per side.
        fit: how an image becomes square.

    Attributes:
        index, size, fit: as given.
        known: the images in it.
        pixels: the file of pixels.
    """

    def __init__(self, index: Path, size: int, fit: Fit) -> None:
        self.known: dict[Signature, Known] = {}
        self.index, self.size, self.fit = index, size, fit
        self._bytes_read = self._rows = 0
        self.pixels = self._read()
        files = {path for path, _, _ in self.known}
        if self._is_short() or self._rows > 2 * len(files):  # most are of files that have changed
            delete_store(index)
            self.known, self._rows = {}, 0
        if not self._rows:  # a new name, since other processes may read on in the old file
            self._bytes_read = 0
            self.pixels = index.with_name(f"{index.stem}-{uuid.uuid4().hex[:8]}.u8")

    def add(self, files: Sequence[Path], signatures: Sequence[Signature]) -> Iterator[Outcome]:
        """Decode files in blocks, write each while the next is decoded, and yield what is known.

        Raises:
            OSError: they cannot be written; the store is deleted then.
        """
        count = max(1, BLOCK // image_bytes(self.size))
        written: Future[None] | None = None
        try:
            with ThreadPoolExecutor(1, "pixels") as thread:
                for start in range(0, len(files), count):
                    part = files[start : start + count]
                    block = torch.empty(len(part), 3, self.size, self.size, dtype=torch.uint8)
                    outcomes = []
                    for outcome in decode_into(block, part, self.size, self.fit):
                        outcomes.append(outcome)
                        yield outcome
                    if written is not None:
                        written.result()
                    names = signatures[start : start + count]
                    written = thread.submit(self._write, block, names, outcomes)
                if written is not None:
                    written.result()
        except OSError:
            delete_store(self.index)
            raise

    def touch(self) -> None:
        """Remember that the store was used now."""
        with suppress(OSError):  # it has no index while it is empty
            os.utime(self.index)

    def _write(
        self, block: Tensor, signatures: Sequence[Signature], outcomes: Sequence[Outcome]
    ) -> None:
        """Write the pixels of the readable images of a block, then their lines."""
        good = torch.tensor([isinstance(outcome, Picture) for outcome in outcomes])
        pixels = block if good.all() else block[good]
        lines = [] if self._rows else [json.dumps(self.pixels.name)]
        known: dict[Signature, Known] = {}
        row = self._rows
        for signature, outcome in zip(signatures, outcomes, strict=True):
            if isinstance(outcome, Picture):
                known[signature] = Known(row, outcome.note, outcome.peak)
                lines.append(json.dumps([*signature, *known[signature]]))
                row += 1
        if not known:
            return
        _write_at(self.pixels, self._rows * image_bytes(self.size), pixels.numpy().data)
        text = "".join(f"{line}\n" for line in lines).encode()
        _write_at(self.index, self._bytes_read, text)
        self._bytes_read += len(text)
        self._rows = row
        self.known |= known

    def _read(self) -> Path:
        """Read the index up to the first line that is not whole; return the file of pixels."""
        lines = self.index.read_bytes().splitlines(True) if self.index.exists() else []
        name = ""
        with suppress(ValueError, TypeError, LookupError):  # a line that was not written by this
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                values = json.loads(line.decode())  # of bytes it would find out the encoding first
                if name:
                    self.known[values[0], values[1], values[2]] = Known(*values[3:])
                    self._rows = values[3] + 1
                else:
                    name = Path(values).name
                self._bytes_read += len(line)
        return self.index.with_name(name or "none")

    def _is_short(self) -> bool:
        with suppress(OSError):
            return self.pixels.stat().st_size < self._rows * image_bytes(self.size)
        return True


def delete_store(index: Path) -> None:
    """Delete a store by its index; processes that have opened its pixels may read on."""
    for file in (index, *index.parent.glob(f"{index.stem}-*.u8")):
        with suppress(OSError):  # Windows keeps files that are open
            file.unlink()


def _write_at(path: Path, position: int, content: bytes | memoryview) -> None:
    """Write to the disk at a position; what was behind it is lost."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(position)
        file.seek(position)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
