"""Outputs of a trained network on held-out source images, which label-shift correction needs.

They are kept in the run folder, so that predictions can be corrected where the source is not at
hand: logits, float32 (N, num_classes), and labels, int64 (N,), of at most MAX_IMAGES images.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from dacbn.datasets import LabelledImages
from dacbn.label_shift import HeldOut
from dacbn.models import Network
from dacbn.training.evaluation import run_network
from dacbn.training.storage import first_line, write_atomically
from dacbn.training.validator_inputs import sample_rows, split_rows

HELD_OUT = "held_out.safetensors"


def run_held_out(
    network: Network, tests: Sequence[tuple[LabelledImages, int]], device: torch.device
) -> HeldOut:
    """Run a network on at most MAX_IMAGES labelled source images, the same in every call.

    Args:
        network: on `device`.
        tests: labelled images of each source, and its domain id.
        device: device to compute on.
    """
    rows = sample_rows(sum(len(test) for test, _ in tests))
    subsets = split_rows([test.images for test, _ in tests], rows)
    logits = [
        run_network(network, subset, cluster_id, device).logits
        for subset, (_, cluster_id) in zip(subsets, tests, strict=True)
        if len(subset)
    ]
    labels = torch.cat([test.labels.cpu() for test, _ in tests])
    return HeldOut(torch.cat(logits), labels[rows])


def save_held_out(folder: Path, held_out: HeldOut | None) -> None:
    """Write the outputs into a run folder, or remove those of an earlier network.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / HELD_OUT
    if held_out is None:
        path.unlink(missing_ok=True)
    else:
        content = save(held_out._asdict())
        write_atomically(path, lambda draft: draft.write_bytes(content))


def read_held_out(folder: Path, num_classes: int) -> HeldOut | None:
    """Read what `save_held_out` wrote; None if there is nothing, or, with a warning, damage."""
    path = folder / HELD_OUT
    try:
        held_out = HeldOut(**load(path.read_bytes()))
        _check(held_out, num_classes)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        warnings.warn(f"{path} is not used: {first_line(error)}; delete it", stacklevel=2)
        return None
    return held_out


def _check(held_out: HeldOut, num_classes: int) -> None:
    logits, labels = held_out
    if logits.dtype != torch.float32 or labels.dtype != torch.int64:
        raise ValueError(f"it holds {logits.dtype} and {labels.dtype}")
    if not len(labels) or logits.shape != (len(labels), num_classes):
        raise ValueError(f"it has shapes {tuple(logits.shape)} and {tuple(labels.shape)}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError("it has labels that are no class")
