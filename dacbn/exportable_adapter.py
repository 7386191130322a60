"""A saved adapter that can be written in the formats of other libraries."""

from pathlib import Path
from typing import Self

from dacbn.export import write
from dacbn.saved_adapter import SavedAdapter


class ExportableAdapter(SavedAdapter):
    """A `SavedAdapter` with `export`."""

    def export(
        self, path: str | Path, format: str = "onnx", cluster_id: int | str | None = None
    ) -> Self:
        """Write the trained network in a format that other programs read.

        Args:
            path: file, or folder, to write.
            format: a format with its options, such as "onnx" or "onnx(resize=True)"; `dacbn list
                formats` shows all.
            cluster_id: the domain whose statistics the normalisers use; see `predict_proba`.

        Raises:
            NotFittedError: there is no network yet.
            UnknownNameError: there is no such format.
            ValueError: an option is wrong, or the format cannot answer as the network does; the
                text gives the reason.
            ImportError: the format needs a package; the text says how to install it.
            StorageError: the file cannot be written.
        """
        write(self, Path(path), format, cluster_id)
        return self
