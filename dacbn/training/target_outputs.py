"""Outputs of a trained network on unlabelled target images, which estimates of its accuracy need.

They are kept in the run folder, so that trainings can be compared where the images are not at hand:
logits, float32 (M, num_classes), of at most MAX_IMAGES images of each target. Labels are no part of
them.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dacbn.datasets import Images, UnlabelledImages
from dacbn.label_shift import HeldOut
from dacbn.models import Network
from dacbn.training.evaluation import run_by_domains
from dacbn.training.held_out import read_held_out, save_held_out
from dacbn.training.storage import first_line, write_atomically
from dacbn.training.validator_inputs import ImageSubset, sample_rows

TARGET_OUTPUTS = "target_outputs.safetensors"


class Apart(NamedTuple):
    """What a trained network answers to images whose labels it was not trained on.

    Attributes:
        held_out: to labelled source images; None without any.
        targets: logits of unlabelled images of each target (M, num_classes).
    """

    held_out: HeldOut | None
    targets: tuple[Tensor, ...]


NOTHING_APART = Apart(None, ())


def save_apart(folder: Path, apart: Apart) -> None:
    """Write both into a run folder, or remove those of an earlier network.

    Raises:
        StorageError: the folder cannot be written.
    """
    save_held_out(folder, apart.held_out)
    save_target_outputs(folder, apart.targets)


def read_apart(folder: Path, num_classes: int) -> Apart:
    """Read what `save_apart` wrote; nothing where there is none, or, with a warning, damage."""
    return Apart(read_held_out(folder, num_classes), read_target_outputs(folder, num_classes))


def sample_images(images: Images) -> ImageSubset:
    """Sample at most MAX_IMAGES images, always the same ones, in order."""
    return ImageSubset(images, sample_rows(len(images)))


def run_targets(
    network: Network,
    targets: Sequence[UnlabelledImages],
    cluster_ids: Sequence[int],
    device: torch.device,
) -> tuple[Tensor, ...]:
    """Compute the logits of a sample of each target (M, num_classes), on the CPU.

    Args:
        network: on `device`.
        targets: unlabelled images of each target.
        cluster_ids: domain id of each.
        device: device to compute on.
    """
    return tuple(
        run_by_domains(network, sample_images(target.images), (cluster_id,), device).logits
        for target, cluster_id in zip(targets, cluster_ids, strict=True)
    )


def save_target_outputs(folder: Path, outputs: Sequence[Tensor]) -> None:
    """Write the outputs into a run folder, or remove those of an earlier network.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / TARGET_OUTPUTS
    if not outputs:
        path.unlink(missing_ok=True)
    else:
        content = save({f"logits {place}": each for place, each in enumerate(outputs)})
        write_atomically(path, lambda draft: draft.write_bytes(content))


def read_target_outputs(folder: Path, num_classes: int) -> tuple[Tensor, ...]:
    """Read what `save_target_outputs` wrote; nothing if absent or, with a warning, damaged."""
    path = folder / TARGET_OUTPUTS
    try:
        found = load(path.read_bytes())
        outputs = tuple(found[f"logits {place}"] for place in range(len(found)))
        for each in outputs:
            if each.dtype != torch.float32 or each.ndim != 2 or each.shape[1] != num_classes:
                raise ValueError(f"it holds {each.dtype} of shape {tuple(each.shape)}")
    except FileNotFoundError:
        return ()
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        warnings.warn(f"{path} is not used: {first_line(error)}; delete it", stacklevel=2)
        return ()
    return outputs
