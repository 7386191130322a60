"""Weights and training state in the run folder.

Inference needs model.safetensors and config.json; resuming a training also needs checkpoint.pt.
"""

import io
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from dacbn.models import Network
from dacbn.training.run_info import CONFIG, RunFolderError
from dacbn.training.storage import first_line, write_atomically

MODEL, CHECKPOINT, SNAPSHOTS = "model.safetensors", "checkpoint.pt", "snapshots"


def save_network(folder: Path, network: Network, name: str = MODEL) -> None:
    """Write a network's weights.

    Args:
        folder: run folder.
        network: network to save.
        name: file name in the run folder.

    Raises:
        StorageError: the folder cannot be written.
    """
    # safetensors refuses tensors that share memory, such as those of a layer used twice
    tensors = {name: t.contiguous().clone() for name, t in network.state_dict().items()}
    # not save_file, which makes the file readable by its owner only
    write_atomically(folder / name, lambda draft: draft.write_bytes(save(tensors)))


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
        RunFolderError: the file is missing, damaged, or belongs to another network.
    """
    path = folder / name
    if not path.exists():
        raise RunFolderError(
            f"{folder} has no {name} yet: the run ended before its first checkpoint"
        )
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise RunFolderError(
            f"{path} does not fit its {CONFIG}, or is damaged: {first_line(error)}"
        ) from error


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
        RunFolderError: the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # a truncated zip file raises one of half a dozen types
        raise RunFolderError(
            f"{path} is damaged ({first_line(error)}); delete it to start again"
        ) from error
    return state
