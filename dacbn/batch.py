"""What travels: a batch into a method, an output out of a network."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """All that a training step may see. There is no field for target labels.

    Images are float32 in [0, 1], shape (B, 3, H, W); source and target batch sizes may differ.
    The strong views show the same samples as the plain ones, and are None unless asked for.
    """

    source_images: Tensor
    source_labels: Tensor
    target_images: Tensor
    source_strong: Tensor | None = None
    target_strong: Tensor | None = None


class TargetBatch(NamedTuple):
    """All that a step of source-free adaptation may see. There is no field for source images.

    Images are as in `Batch`; `target_indices`, int64 (B,), say which of the target they are.
    """

    target_images: Tensor
    target_indices: Tensor


class Output(NamedTuple):
    """What a network says of a batch: features (B, D) and logits (B, num_classes)."""

    features: Tensor
    logits: Tensor
