"""Features of a frozen backbone that the trainings of a comparison share, in one folder.

A file is named by a hash of all that its features depend on: the settings and the weights of the
network, the pixels, their domain, and the views. So a training finds its own or computes them.
Those of a seed are in a folder of their own, which is removed when its trainings are done: those of
random views, and of weights that are drawn. Images as they are have the same features of pretrained
weights for every seed.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dacbn.datasets import Images, iterate
from dacbn.models import Network
from dacbn.training.config import TrainConfig
from dacbn.training.starting_defaults import starts_pretrained
from dacbn.training.storage import StorageError, write_atomically

FOLDER = "features"  # in the folder of the runs
OF_BACKBONE = ("backbone.", "pixel_")  # what of a network its features depend on
SETTINGS = ("backbone", "norm", "norm_sites", "norm_replaces", "input_norm", "cluster_ids")

_shared: ContextVar[tuple[Path, TrainConfig] | None] = ContextVar("shared", default=None)


@contextmanager
def sharing_features(folder: Path, config: TrainConfig) -> Iterator[None]:
    """Share features with other trainings, by the files in a folder, while the context lasts.

    Args:
        folder: where features are read and written.
        config: the settings of the training that runs in it.
    """
    token = _shared.set((folder, config))
    try:
        yield
    finally:
        _shared.reset(token)


def of_seed(folder: Path, seed: int) -> Path:
    """Return the folder of the features of a seed."""
    return folder / f"seed{seed}"


def find_features(
    compute: Callable[[], Iterator[Tensor]],
    shape: tuple[int, int, int],
    network: Network,
    images: Images,
    seed: int | None,
    *others: object,
    in_a_file: bool = False,
) -> Tensor:
    """Return features that are shared, or else compute them, and share them if there is a folder.

    Args:
        compute: computes them, batch by batch.
        shape: of all, (N, V, D).
        network: whose backbone they are of.
        images: what they are of.
        seed: that they depend on; None if they do not.
        others: all else that they depend on.
        in_a_file: whether they stay in a file, on the CPU, as they would fill the memory.

    Raises:
        StorageError: they cannot be written.
    """
    if (shared := _shared.get()) is None:
        return _compute_into_file(compute, shape) if in_a_file else torch.cat(list(compute()))
    folder, config = shared
    settings = {name: str(getattr(config, name)) for name in SETTINGS}
    name = f"{_hash(network, images, [settings, torch.__version__, seed, *others])}.npy"
    for place in ("", "*/"):  # of all seeds, and of each
        with suppress(OSError, ValueError, EOFError):  # removed, or damaged: computed again
            for known in folder.glob(place + name):
                return _read(known, in_a_file, network.pixel_mean.device)
    alone = seed == config.seed or not starts_pretrained(config)
    path = (of_seed(folder, config.seed) if alone else folder) / name
    if in_a_file:
        write_atomically(path, partial(_write, shape, compute))
        return _read(path, in_a_file, network.pixel_mean.device)
    values = torch.cat(list(compute()))
    write_atomically(path, partial(_write, shape, lambda: iter([values])))
    return values


def _compute_into_file(
    compute: Callable[[], Iterator[Tensor]], shape: tuple[int, int, int]
) -> Tensor:
    """Return features that are in a file without a name, which ends with them."""
    # where an open file has to keep its name, it stays
    with tempfile.TemporaryDirectory(prefix="dacbn-", ignore_cleanup_errors=True) as place:
        path = Path(place) / "features.npy"
        try:
            _write(shape, compute, path)
        except OSError as error:
            raise StorageError(path, error) from error
        return _read(path, True, torch.device("cpu"))


def _write(
    shape: tuple[int, int, int], compute: Callable[[], Iterator[Tensor]], path: Path
) -> None:
    with path.open("wb") as file:
        about = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, about)
        for batch in compute():
            file.write(batch.cpu().numpy().astype("<f4", copy=False).tobytes())


def _read(path: Path, mapped: bool, device: torch.device) -> Tensor:
    if mapped:  # as a copy on writing, since torch knows no tensors that are only read
        return torch.from_numpy(np.load(path, mmap_mode="c"))
    return torch.from_numpy(np.load(path)).to(device)


def _hash(network: Network, images: Images, others: list[Any]) -> str:
    found = hashlib.sha256(json.dumps(others, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if name.startswith(OF_BACKBONE):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    for batch in iterate(images, 256, torch.device("cpu")):
        found.update(f"{batch.dtype} {tuple(batch.shape)}".encode())
        found.update(batch.contiguous().numpy().data)
    return found.hexdigest()[:32]
