"""The size of the images of a training, if none is given."""

import torch

from dacbn.datasets import LabelledLike, UnlabelledLike, choose_family, size_of
from dacbn.models import trained_size
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.starting_defaults import starts_pretrained

SMALLEST_SIDE = 32  # pixels; smaller images are enlarged, since backbones halve them several times
LARGEST_ON_CPU = 160  # pixels; half the time of 224


def choose_size(
    config: TrainConfig, device: torch.device, *domains: LabelledLike | UnlabelledLike
) -> int:
    """Choose the pixels per side of the images of a new training.

    Photographs for pretrained weights get the size that these were trained at, on a CPU at most
    LARGEST_ON_CPU unless the backbone takes one size only; other images get the size they have.
    """
    if config.image_size is not None:
        return config.image_size
    trained = trained_size(config.backbone) if starts_pretrained(config) else None
    if trained is None or choose_family(*domains) != "photos":
        return max(SMALLEST_SIDE, *map(size_of, domains))
    if device.type == "cpu" and not trained.fixed:
        return min(trained.pixels, LARGEST_ON_CPU)
    return trained.pixels


def describe_size(config: TrainConfig, size: int) -> str:
    """Say in one line why images are smaller than in the pretraining; empty if they are not."""
    trained = trained_size(config.backbone) if starts_pretrained(config) else None
    if trained is None or config.image_size is not None or size >= trained.pixels:
        return ""
    return (
        f"images of {size} pixels per side, because there is no GPU: "
        f"{spell('image_size', trained.pixels)} "
        "is that of the pretrained weights, and slower"
    )
