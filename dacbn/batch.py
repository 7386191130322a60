"""Types passed between rooms: batches, network outputs, and the ids of the domains.

Domains are numbered 0..D-1: sources first, then targets, in the order in which they are given.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SOURCE, TARGET = 0, 1  # domain ids of one source and one target
NUM_DOMAINS = 2


class Batch(NamedTuple):
    """Everything that a training step may see. There is no field for target labels.

    Images are float32 in [0, 1], shape (B, 3, H, W); source and target batch sizes may differ.
    Strong views are stronger augmentations of the same samples, in the same order; they are None
    unless the method requests them (`wants_strong_views`).
    """

    source_images: Tensor
    source_labels: Tensor
    target_images: Tensor
    source_strong: Tensor | None = None
    target_strong: Tensor | None = None


class TargetBatch(NamedTuple):
    """Everything that a step of source-free adaptation may see: no source, and no labels.

    Images are as in `Batch`; `target_indices`, int64 (B,), are their positions in the target.
    """

    target_images: Tensor
    target_indices: Tensor


class Output(NamedTuple):
    """The output of a network for a batch: features (B, D) and logits (B, num_classes)."""

    features: Tensor
    logits: Tensor


def domain_ids(count: int, domain: int, device: torch.device) -> Tensor:
    """Return the id of one domain for each of `count` images: int64 (count,)."""
    return torch.full((count,), domain, device=device)
