"""Images that lie in larger files, of Hugging Face or in shards, and are read as files are."""

import os
from abc import abstractmethod
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeAlias


class PackedFile(os.PathLike[str]):
    """The bytes of an image file within another file.

    Its path, which no file need have, names it in messages and decides on its part.
    """

    __slots__ = ()

    @abstractmethod
    def read_bytes(self) -> bytes:
        """Return the bytes that an image file of its own would have.

        Raises:
            OSError: they cannot be read.
        """

    def open(self, mode: Literal["rb"] = "rb") -> BytesIO:
        """Return the bytes as an open file, as `Path.open` does."""
        return BytesIO(self.read_bytes())

    def __str__(self) -> str:
        return os.fspath(self)


ImageFile: TypeAlias = Path | PackedFile
