"""Coloured textures made in memory, and the blending that puts a digit on one.

The blending is that of MNIST-M: Ganin et al., "Domain-Adversarial Training of Neural Networks",
JMLR 2016 (https://arxiv.org/abs/1505.07818).
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

GRAINS = (2, 4, 8, 16)  # cells per side of each layer of noise
CHROMA = 0.8  # how far the noise of one channel departs from the noise all channels share


def make_textures(count: int, size: int, contrast: float, generator: Generator) -> Tensor:
    """Draw smooth random textures, each around its own random colour.

    Args:
        count: how many.
        size: pixels per side.
        contrast: standard deviation of the noise around the mean colour, of the range [0, 1].
        generator: a CPU generator; the same state draws the same textures.

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
        uint8 (N, 3, S, S): the texture, with its colours inverted where the digit is.
    """
    return (textures.short() - digits.short()).abs().to(torch.uint8)
