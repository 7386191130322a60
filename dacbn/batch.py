"""Types passed between rooms: batches, network outputs, and the ids of the domains.

Domains are numbered 0..D-1: sources first, then targets, in the order in which they are given.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SOURCE, TARGET = 0, 1  # domain ids of one source and one target
NUM_DOMAINS = 2


class Part(NamedTuple):
    """Images of a step that go through the network together.

    Attributes:
        images: float32 (B, 3, H, W).
        domains: their domain ids, int64 (B,).
        sizes: how many images each view of them has; the views are one after the other.
    """

    images: Tensor
    domains: Tensor
    sizes: tuple[int, ...]


class Batch(NamedTuple):
    """Everything that a training step may see. Images of the target have no labels.

    A few target images may be given with labels, by themselves: they are fields of their own, None
    without such images, and the fields of the target know nothing of them.

    Images are float32 in [0, 1], shape (B, 3, H, W); source and target batch sizes may differ.
    Strong views are stronger augmentations of the same samples, in the same order; they are None
    unless the method requests them (`wants_strong_views`).

    The images of one domain are consecutive, and counts say how many each has, in the order of the
    domains. They are known without asking the device. Empty counts mean a single domain.
    """

    source_images: Tensor
    source_labels: Tensor
    target_images: Tensor
    source_strong: Tensor | None = None
    target_strong: Tensor | None = None
    source_counts: tuple[int, ...] = ()
    target_counts: tuple[int, ...] = ()
    labelled_images: Tensor | None = None
    labelled_labels: Tensor | None = None
    labelled_counts: tuple[int, ...] = ()

    @property
    def source_domains(self) -> Tensor:
        """Domain ids of the source images: int64 (B,)."""
        return _ids(self.source_images, self.source_counts, 0)

    @property
    def target_domains(self) -> Tensor:
        """Domain ids of the target images, which follow those of the sources: int64 (B',)."""
        return _ids(self.target_images, self.target_counts, len(self.source_counts) or 1)

    @property
    def labelled_domains(self) -> Tensor:
        """Domain ids of the labelled target images, which are the targets': int64 (B'',).

        Raises:
            ValueError: there are none.
        """
        images, _ = self.labelled
        return _ids(images, self.labelled_counts, len(self.source_counts) or 1)

    @property
    def source(self) -> Part:
        """The source images, with their domains."""
        sizes = _sizes(self.source_images, self.source_counts)
        return Part(self.source_images, self.source_domains, sizes)

    @property
    def target(self) -> Part:
        """The target images, with their domains."""
        sizes = _sizes(self.target_images, self.target_counts)
        return Part(self.target_images, self.target_domains, sizes)

    @property
    def labelled_target(self) -> Part:
        """The labelled target images, with their domains.

        Raises:
            ValueError: there are none.
        """
        images, _ = self.labelled
        return Part(images, self.labelled_domains, _sizes(images, self.labelled_counts))

    @property
    def labelled(self) -> tuple[Tensor, Tensor]:
        """Labelled target images (B'', 3, H, W) and their labels, int64 (B'',).

        Raises:
            ValueError: there are none.
        """
        if self.labelled_images is None or self.labelled_labels is None:
            raise ValueError("the batch has no labelled target images")
        return self.labelled_images, self.labelled_labels


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


def split_domains(output: Output, counts: Sequence[int]) -> list[Output]:
    """Split an output by the domains of its images; see `Batch`."""
    if len(counts) < 2:
        return [output]
    sizes = list(counts)
    parts = zip(torch.split(output.features, sizes), torch.split(output.logits, sizes), strict=True)
    return [Output(*part) for part in parts]


def join_domains(outputs: Sequence[Output]) -> Output:
    """Return the outputs of several domains as one."""
    if len(outputs) == 1:
        return outputs[0]
    return Output(*(torch.cat(parts) for parts in zip(*outputs, strict=True)))


def _sizes(images: Tensor, counts: Sequence[int]) -> tuple[int, ...]:
    """Return the images of each of several views, one after the other."""
    one = sum(counts) or len(images)
    return (one,) * (len(images) // (one or 1))


def _ids(images: Tensor, counts: Sequence[int], first: int) -> Tensor:
    """Return the ids of images, of which there may be several views, one after the other."""
    counts = counts or (len(images),)
    views = len(images) // (sum(counts) or 1)
    each = list(enumerate(counts, start=first)) * views
    ids = [domain_ids(count, domain, images.device) for domain, count in each]
    return torch.cat(ids) if ids else domain_ids(0, first, images.device)
