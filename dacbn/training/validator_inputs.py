"""Inputs to validators: outputs on labelled source and unlabelled target images.

The source images are those of its test split, which serves as the validation split; the target
images are those of its training split. The target's test split is not used, because it could not
score a model fairly after selecting it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dacbn.batch import Output, join_domains
from dacbn.datasets import Images, UnlabelledImages
from dacbn.models import Network
from dacbn.training.evaluation import run_network

MAX_IMAGES = 2000  # images per domain; bounds the time and memory of an evaluation


class ValidatorInputs(NamedTuple):
    """Outputs of a network on two domains, on the CPU. There is no field for target labels.

    Attributes:
        source: features (N, D) and logits (N, C) of images that were not trained on; N is 0 if
            there is no source.
        source_labels: int64 (N,).
        target: features (M, D) and logits (M, C) of unlabelled images.
    """

    source: Output
    source_labels: Tensor
    target: Output


@dataclass(frozen=True, eq=False)
class ImageSubset:
    """A subset of the images of a domain.

    Args:
        images: all images.
        rows: positions of the subset in `images`, int64 (N,).
    """

    images: Images
    rows: Tensor

    @property
    def size(self) -> int:
        """Pixels per side."""
        return self.images.size

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.rows)

    def gather(self, indices: Tensor) -> Tensor:
        """Return uint8 images (B, 3, S, S) for int64 indices (B,)."""
        return self.images.gather(self.rows[indices])


def collect_validator_inputs(
    network: Network,
    source: tuple[Output, Tensor] | None,
    targets: Sequence[UnlabelledImages],
    cluster_ids: Sequence[int],
    device: torch.device,
) -> ValidatorInputs:
    """Run a network on at most MAX_IMAGES images of source and target, the same in every call.

    Args:
        network: on `device`.
        source: its outputs on the source's validation images and their labels, int64 (N,); None
            without a source.
        targets: unlabelled images of each target; none without a target, if there is a source.
        cluster_ids: domain id of each target.
        device: device to compute on.
    """
    rows = sample_rows(sum(map(len, targets)))
    subsets = split_rows([each.images for each in targets], rows)
    found = [
        run_network(network, subset, cluster_id, device)
        for cluster_id, subset in zip(cluster_ids, subsets, strict=True)
        if len(subset)
    ]
    known = found[0] if source is None else source[0]
    nothing = Output(known.features[:0], known.logits[:0])
    outputs = join_domains(found or [nothing])
    empty = nothing, torch.zeros(0, dtype=torch.int64)
    (features, logits), labels = empty if source is None else source
    rows = sample_rows(len(labels))
    return ValidatorInputs(Output(features[rows], logits[rows]), labels.cpu()[rows], outputs)


def split_rows(domains: Sequence[Images], rows: Tensor) -> list[ImageSubset]:
    """Return the chosen images of each domain.

    Args:
        domains: images of each domain.
        rows: positions among the images of all domains, one after the other, in order: int64 (N,).
    """
    subsets, first = [], 0
    for images in domains:
        own = rows[(rows >= first) & (rows < first + len(images))] - first
        subsets.append(ImageSubset(images, own))
        first += len(images)
    return subsets


def sample_rows(count: int) -> Tensor:
    """Sample at most MAX_IMAGES of `count` rows, always the same ones, in order: int64."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:MAX_IMAGES].sort().values
