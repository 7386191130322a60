"""Programs of torch.export, which torch loads without dacbn."""

import warnings
from pathlib import Path

import torch

from dacbn.export.about import describe
from dacbn.export.comparison import compare
from dacbn.export.draft import write_whole
from dacbn.export.formats import formats
from dacbn.export.program import record, serve
from dacbn.export.served_network import Pixels
from dacbn.saved_adapter import SavedAdapter


@formats.add("torch", file="model.pt2")
def write_torch(
    adapter: SavedAdapter,
    path: Path,
    cluster_id: int | str | None,
    *,
    pixels: Pixels = "uint8",
    resize: bool = False,
) -> None:
    """Write a program for torch.export.load, in which dacbn is not needed.

    Args:
        adapter: with a trained network.
        path: the file, which ends in .pt2.
        cluster_id: the domain that the program answers for.
        pixels: type of the images: uint8, or float in [0, 1].
        resize: whether the program resizes images of any size.

    Raises:
        ValueError: torch cannot record the network, or answers differently.
        StorageError: the file cannot be written.
    """
    if path.suffix != ".pt2":
        raise ValueError(f"torch reads programs from files that end in .pt2, and {path} does not")
    served = serve(adapter, cluster_id, pixels, resize)
    program = record(served, adapter.image_size)
    about = describe(adapter, served)

    def write(draft: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that share memory; answers are compared
            torch.export.save(program, draft, extra_files=about)
        compare(adapter, cluster_id, pixels, torch.export.load(draft).module(), "torch.export.load")

    write_whole(path, write)
