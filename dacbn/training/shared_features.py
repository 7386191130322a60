"""Features of a frozen backbone that the trainings of a comparison share, in one folder.

A file is named by a hash of all that its features depend on: the settings and the weights of the
network, the pixels, their domain, and the views. So a training finds its own or computes them.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dacbn.datasets import Images, iterate
from dacbn.models import Network
from dacbn.training.config import TrainConfig
from dacbn.training.storage import write_atomically

FOLDER = "features"  # in the folder of the runs
OF_BACKBONE = ("backbone.", "pixel_")  # what of a network its features depend on
SETTINGS = ("backbone", "norm", "norm_sites", "norm_replaces", "input_norm", "cluster_ids")
VALUES = "values"

_shared: ContextVar[tuple[Path, dict[str, str]] | None] = ContextVar("shared", default=None)


@contextmanager
def sharing_features(folder: Path, config: TrainConfig) -> Iterator[None]:
    """Share features with other trainings, by the files in a folder, while the context lasts.

    Args:
        folder: where features are read and written.
        config: the settings of the training that runs in it.
    """
    token = _shared.set((folder, {name: str(getattr(config, name)) for name in SETTINGS}))
    try:
        yield
    finally:
        _shared.reset(token)


def find_features(
    compute: Callable[[], Tensor], network: Network, images: Images, *others: object
) -> Tensor:
    """Return features that are shared, or else compute them, and share them if there is a folder.

    Args:
        compute: computes them.
        network: whose backbone they are of.
        images: what they are of.
        others: all else that they depend on.

    Raises:
        StorageError: they cannot be written.
    """
    if (shared := _shared.get()) is None:
        return compute()
    folder, settings = shared
    path = folder / f"{_hash(network, images, [settings, torch.__version__, *others])}.safetensors"
    with suppress(OSError, SafetensorError, KeyError):  # missing, or damaged: it is computed again
        return load_file(path)[VALUES].to(network.pixel_mean.device)
    values = compute()
    # not save_file, which makes the file readable by its owner only
    content = save({VALUES: values.cpu().contiguous()})
    write_atomically(path, lambda draft: draft.write_bytes(content))
    return values


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
