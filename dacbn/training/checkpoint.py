"""Weights and state of a training in its run folder.

Inference needs model.safetensors and config.json; a resumed training needs checkpoint.pt as well.
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
        folder: of the run.
        network: what is saved.
        name: of the file.

    Raises:
        StorageError: the folder cannot be written.
    """
    # safetensors refuses tensors that share memory, as those of a layer used twice do
    tensors = {name: t.contiguous().clone() for name, t in network.state_dict().items()}
    # save_file would make the file readable for its owner alone
    write_atomically(folder / name, lambda draft: draft.write_bytes(save(tensors)))


def snapshot_name(step: int) -> str:
    """Name the file of the network as it was after a step, in the folder of its run."""
    return f"{SNAPSHOTS}/step-{step:06d}.safetensors"


def find_snapshots(folder: Path) -> dict[int, str]:
    """Find the snapshots of a run, by step in order: names to give to `load_weights`."""
    files = (folder / SNAPSHOTS).glob("step-*.safetensors")
    return {step: snapshot_name(step) for step in sorted(int(file.stem[5:]) for file in files)}


def load_weights(folder: Path, network: Network, name: str = MODEL) -> None:
    """Load the weights that `save_network` wrote into a network built for them.

    Args:
        folder: of the run.
        network: is filled.
        name: of the file.

    Raises:
        RunFolderError: the file is missing, damaged, or of another network.
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
    """Write the state of a training.

    Raises:
        StorageError: the folder cannot be written.
    """
    content = io.BytesIO()  # writing to a full disk, torch says "unexpected pos 704 vs 598"
    torch.save(state, content)
    write_atomically(folder / CHECKPOINT, lambda draft: draft.write_bytes(content.getbuffer()))


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read the state of a training, on the CPU; None if it ended before its first checkpoint.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # a truncated zip file surfaces as any of half a dozen types
        raise RunFolderError(
            f"{path} is damaged ({first_line(error)}); delete it to start anew"
        ) from error
    return state
