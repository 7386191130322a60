"""What may choose between models: outputs on labelled source and on unlabelled target images.

The target's training images and the source's test split are what inputs is made from: the
latter serves as the source's validation split. The target's test split stays out, because what
has chosen a model cannot score it any more.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dacbn.batch import TARGET, Output
from dacbn.datasets import Images, UnlabelledImages
from dacbn.models import Network
from dacbn.training.evaluate import run_network

MAX_IMAGES = 2000  # images of a domain, so that evaluations stay cheap and memory bounded


class ValidatorInputs(NamedTuple):
    """What a network says of two domains, on the CPU. There is no field for target labels.

    Args:
        source: features (N, D) and logits (N, C) of images that were not trained on; none of them
            where there is no source.
        source_labels: int64 (N,).
        target: features (M, D) and logits (M, C) of unlabelled images.
    """

    source: Output
    source_labels: Tensor
    target: Output


@dataclass(frozen=True, eq=False)
class ImageSubset:
    """Some images of a domain.

    Args:
        images: the domain's.
        rows: which of them, int64.
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
    target: UnlabelledImages,
    device: torch.device,
) -> ValidatorInputs:
    """Collect what a network says, of the same MAX_IMAGES images at most of each domain every time.

    Args:
        network: on `device`.
        source: its outputs on the source's validation images and their labels, int64 (N,); None
            without a source.
        target: unlabelled images.
        device: where to compute.
    """
    some = ImageSubset(target.images, sample_rows(len(target)))
    outputs = run_network(network, some, TARGET, device)
    nothing = Output(outputs.features[:0], outputs.logits[:0]), torch.zeros(0, dtype=torch.int64)
    (features, logits), labels = nothing if source is None else source
    rows = sample_rows(len(labels))
    return ValidatorInputs(Output(features[rows], logits[rows]), labels.cpu()[rows], outputs)


def sample_rows(count: int) -> Tensor:
    """Choose at most MAX_IMAGES of `count` rows, always the same, in order: int64."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:MAX_IMAGES].sort().values
