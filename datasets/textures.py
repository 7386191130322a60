"""Random coloured textures, and how MNIST-M blends digits with a background.

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks",
JMLR 2016 (https://arxiv.org/abs/1505.07818).
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

GRAINS = (2, 4, 8, 16)  # cells per side of each layer of noise
CHROMA = 0.8  # weight of each channel's own noise; the rest is noise shared by all channels


def make_textures(count: int, size: int, contrast: float, generator: Generator) -> Tensor:
    """Generate smooth random textures, each with its own mean colour.

    Args:
        count: number of textures.
        size: pixels per side.
        contrast: standard deviation around the mean colour, before clamping to [0, 1].
        generator: a CPU generator; the same state gives the same textures.

    Returns:
        float (count, 3, size, size) in [0, 1].
    """
    noise = torch.zeros(count, 4, size, size)
    for cells in GRAINS:
        grain = torch.randn(count, 4, cells, cells, generator=generator)
        noise += F.interpolate(grain, size=size, mode="bicubic", align_corners=False)
    shared, own = noise[:, :1], noise[:, 1:]
    noise = (1 - CHROMA) * shared + CHROMA * own
    noise = noise / noise.std(dim=(1, 2, 3), keepdim=True)
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    return (colour + contrast * noise).clamp(0, 1)


def blend(textures: Tensor, digits: Tensor) -> Tensor:
    """Return |texture - digit| for each pixel and channel.

    Args:
        textures: uint8 (N, 3, S, S).
        digits: uint8 (N, 1 or 3, S, S), white on black.

    Returns:
        uint8 (N, 3, S, S): the textures, inverted where the digit is white.
    """
    return (textures.short() - digits.short()).abs().to(torch.uint8)
