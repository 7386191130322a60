"""Random views of images that arrive in a stream, for methods that compare several."""

import torch
import torch.nn.functional as F
from torch import Tensor

CONTRAST = 0.3  # factors of contrast and brightness are drawn from 1 - this to 1 + this
SHIFT = 16  # images are moved by at most their size divided by this
NOISE = 0.03  # standard deviation, of pixels in [0, 1]


def random_views(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return a view of each image (B, 3, S, S) in [0, 1]: other contrast, moved, and with noise.

    Nothing is mirrored, since a mirrored digit is another. The random numbers are the same on every
    device.

    Args:
        images: the images.
        generator: of a CPU.
    """
    count, reach = len(images), max(1, images.shape[-1] // SHIFT)
    draws = torch.rand(count, 4, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    draws, noise = draws.to(images.device), noise.to(images.device)
    factors = 1 + CONTRAST * (2 * draws[:, :2] - 1)
    contrast, brightness = factors[:, 0, None, None, None], factors[:, 1, None, None, None]
    mean = images.mean((1, 2, 3), keepdim=True)
    views = (images - mean) * contrast + mean * brightness
    padded = F.pad(views, (reach,) * 4, mode="replicate")
    moves = (draws[:, 2:] * (2 * reach + 1)).long()  # 0 to 2 * reach
    steps = torch.arange(images.shape[-1], device=images.device)
    rows, columns = (moves[:, each, None] + steps for each in (0, 1))
    index = torch.arange(count, device=images.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return (moved.permute(0, 3, 1, 2) + NOISE * noise).clamp(0, 1)
