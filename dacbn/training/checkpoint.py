"""Weights and training state in the run folder.

Inference needs model.safetensors and config.json; resuming a training also needs checkpoint.pt.
Both are checked when they are read, because a flipped bit would change results silently: the
weights by a checksum in the file's metadata, the checkpoint by those of its zip format.
"""

import hashlib
import io
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dacbn.limits import show
from dacbn.models import Network
from dacbn.spelling import spell
from dacbn.training.run_info import CONFIG, RunFolderError
from dacbn.training.storage import StorageError, first_line, write_atomically

MODEL, CHECKPOINT, SNAPSHOTS = "model.safetensors", "checkpoint.pt", "snapshots"
CHECKSUM = "sha256"  # in the metadata of the weights; those of older runs have none


def save_network(folder: Path, network: Network, name: str = MODEL) -> None:
    """Write a network's weights.

    Args:
        folder: run folder.
        network: network to save.
        name: file name in the run folder.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / name
    if path.parent != folder and path.parent.is_symlink():
        raise StorageError(path, OSError(f"{path.parent} is a link to outside the run"))
    # safetensors refuses tensors that share memory, such as those of a layer used twice
    tensors = {name: t.cpu().contiguous().clone() for name, t in network.state_dict().items()}
    about = {CHECKSUM: _checksum(tensors)}  # one: safetensors writes several in a random order
    # not save_file, which makes the file readable by its owner only
    write_atomically(path, lambda draft: draft.write_bytes(save(tensors, about)))


def snapshot_name(step: int) -> str:
    """Return the file name, in the run folder, of the snapshot after a step."""
    return f"{SNAPSHOTS}/step-{step:06d}.safetensors"


def find_snapshots(folder: Path) -> dict[int, str]:
    """Find the snapshots of a run: step -> name for `load_weights`, in order of steps."""
    files = (folder / SNAPSHOTS).glob("step-*.safetensors")
    return {step: snapshot_name(step) for step in sorted(int(file.stem[5:]) for file in files)}


def load_weights(folder: Path, network: Network, name: str = MODEL) -> None:
    """Load weights that `save_network` wrote into a network of the same architecture.

    Args:
        folder: run folder.
        network: network to load into.
        name: file name in the run folder.

    Raises:
        RunFolderError: the file is missing or damaged, belongs to another network, or holds NaN.
    """
    path = folder / name
    tensors = _read_weights(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunFolderError(f"{path} does not fit its {CONFIG}: {first_line(error)}") from error
    learned = dict(network.named_parameters())
    for key, tensor in tensors.items():
        # a running variance that overflowed is infinite, and its outputs are finite
        good = tensor.isfinite() if key in learned else ~tensor.isnan()
        if not good.all():
            raise RunFolderError(
                f"{path} holds NaN or infinity in {key}: train again with a lower {spell('lr')} or "
                f"with {spell('clip_norm', 1)}"
            )


def holds_network(folder: Path, network: Network) -> bool:
    """Whether the weights in a run folder are intact and those of this network."""
    try:
        tensors = _read_weights(folder / MODEL)
    except RunFolderError:
        return False
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    return tensors.keys() == state.keys() and all(
        torch.equal(tensor, state[name]) for name, tensor in tensors.items()
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise RunFolderError(
            f"{path.parent} has no {path.name}: write it from the last checkpoint with dacbn train "
            f"--resume {path.parent}, which also goes on with a run that has no checkpoint yet"
        )
    try:
        with safe_open(path, "pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dictionary
            expected = (file.metadata() or {}).get(CHECKSUM)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise _damaged(path, first_line(error)) from error
    if expected is not None and _checksum(tensors) != expected:
        raise _damaged(path, "its checksum differs")
    return tensors


def _damaged(path: Path, reason: str) -> RunFolderError:
    cure = "delete it"
    if path.name == MODEL:
        cure = f"write it anew from the last checkpoint with dacbn train --resume {path.parent}"
    return RunFolderError(f"{path} is damaged ({reason}): {cure}")


def _checksum(tensors: dict[str, Tensor]) -> str:
    """Compute a checksum of names, types, shapes and contents; tensors are on the CPU."""
    checksum = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        checksum.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        checksum.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return checksum.hexdigest()


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the training state.

    Raises:
        StorageError: the folder cannot be written.
    """
    content = io.BytesIO()  # torch's own error for a full disk is "unexpected pos 704 vs 598"
    torch.save(state, content)
    write_atomically(folder / CHECKPOINT, lambda draft: draft.write_bytes(content.getbuffer()))


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read the training state, on the CPU; None if the run ended before its first checkpoint.

    Raises:
        RunFolderError: the file is damaged, or is no checkpoint.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as parts:
            broken = parts.testzip()  # torch.load does not compare the checksums that it wrote
        if broken is not None:
            raise RuntimeError(f"the checksum of {broken} differs")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise RunFolderError(
            f"{path} holds code or objects besides tensors, which a checkpoint of dacbn does not, "
            "and is not loaded: do not trust it; delete it to start again"
        ) from error
    except Exception as error:
        # a truncated zip file raises one of half a dozen types
        raise RunFolderError(
            f"{path} is damaged ({first_line(error)}); delete it to start again"
        ) from error
    if not isinstance(state, dict):
        wrong = f"it must be a dictionary, got {show(state)}"
    else:
        step = state.get("step")
        if type(step) is int and step >= 0:
            return state
        wrong = f"its step is {show(step)}"
    raise RunFolderError(f"{path} is no checkpoint: {wrong}; delete it to start again")
