"""Images of a run, on which what is written is compared with the network."""

from typing import NamedTuple

import torch
from torch import Tensor

from dacbn.datasets import load_sample, to_float
from dacbn.saved_adapter import SavedAdapter
from dacbn.training.domains import reading_options
from dacbn.training.run_info import IN_MEMORY

COUNT = 16


class SampleImages(NamedTuple):
    """Images (B, 3, S, S), float32 in [0, 1], and words for what they are."""

    images: Tensor
    words: str


def sample_images(adapter: SavedAdapter) -> SampleImages:
    """Read some images of the run's targets, or else of its sources.

    If they were given in memory, or are no longer where they were, random pixels take their place.
    """
    options = {**reading_options(adapter.config), "download": False, "cache": "none"}
    for place in (*adapter.config.target, *adapter.config.source):
        if place == IN_MEMORY:
            continue
        try:
            domain = load_sample(place, COUNT, train=False, size=adapter.image_size, **options)
        except (OSError, ValueError):
            continue
        pixels = domain.images.gather(torch.arange(len(domain)))
        return SampleImages(to_float(pixels.cpu()), f"{len(pixels)} images of {place}")
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(COUNT, 3, adapter.image_size, adapter.image_size, generator=generator)
    return SampleImages(noise, f"{COUNT} images of random pixels, since the run's are not here")
