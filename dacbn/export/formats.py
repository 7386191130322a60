"""The formats that a trained network can be written in.

Each is one file that registers its function:

    @formats.add("onnx", file="model.onnx")
    def write_onnx(adapter, path, cluster_id, *, resize=False): ...

Keyword arguments are the options of the format, as in `--format "onnx(resize=True)"`. The function
writes the file or folder `path`, whole or not at all, says in the log what it wrote and how far its
answers are from those of the network, and raises a ValueError, with the reason and the cure, where
the format cannot answer as the network does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from dacbn.registry import Registry
from dacbn.saved_adapter import SavedAdapter

Write: TypeAlias = Callable[..., None]
WriteT = TypeVar("WriteT", bound=Write)


class Formats(Registry[Write]):
    """A registry of formats, and of the names of the files that they write."""

    def __init__(self) -> None:
        super().__init__("format", "dacbn.export")
        self.files: dict[str, str] = {}

    def add(self, name: str, *, file: str) -> Callable[[WriteT], WriteT]:
        """Register the decorated function; see the module.

        Args:
            name: of the format.
            file: what is written is called so if the user gives no other name.
        """

        def keep(write: WriteT) -> WriteT:
            self.register(name)(write)
            self.files[name] = file
            return write

        return keep


formats = Formats()


def write(
    adapter: SavedAdapter, path: Path, format: str, cluster_id: int | str | None = None
) -> None:
    """Write a trained network in a format; see `DomainAdapter.export`."""
    _ = adapter.network  # raises where there is none
    formats.build(format, adapter, path, cluster_id)
