"""Images that are corrupted in memory, at five strengths: what a deployed camera may meet.

These are operations of torchvision and Pillow with parameters of our own. They are not the
corruptions of ImageNet-C and CIFAR-10-C (Hendrycks and Dietterich, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", ICLR 2019, https://arxiv.org/abs/1903.12261),
and their errors are not comparable with published ones; so they have other names. The package
imagecorruptions (1.1.2) has the published ones, but uses what today's NumPy and scikit-image have
no more (`np.float_`, `multichannel`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from dacbn.datasets.images import Images, LabelledImages
from dacbn.registry import UnknownNameError

STRENGTHS = (1, 2, 3, 4, 5)
SIDE = 32  # pixels, of the images that lengths are given for; they grow with the side
LARGEST = 2**31


@dataclass(frozen=True, eq=False)
class CorruptedImages:
    """Images that are corrupted when they are fetched; each always in the same way.

    Args:
        images: N images.
        name: one of `CORRUPTIONS`.
        strength: 1 to 5.
        seed: of all that is drawn; that of an image depends on its index too.

    Raises:
        UnknownNameError: there is no such corruption.
        ValueError: the strength is not 1 to 5.

    Example:
        >>> from dacbn.datasets import TensorImages
        >>> images = TensorImages(torch.full((2, 3, 8, 8), 128, dtype=torch.uint8))
        >>> CorruptedImages(images, "faded", 5).gather(torch.tensor([1])).shape
        torch.Size([1, 3, 8, 8])
    """

    images: Images
    name: str
    strength: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.name not in CORRUPTIONS:
            raise UnknownNameError("corruption", self.name, list(CORRUPTIONS))
        if self.strength not in STRENGTHS:
            raise ValueError(f"a strength must be one of 1 to 5, got {self.strength}")

    @property
    def size(self) -> int:
        """Pixels per side."""
        return self.images.size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def gather(self, indices: Tensor) -> Tensor:
        """Return uint8 images (B, 3, S, S) for int64 indices (B,), on the CPU."""
        pixels = self.images.gather(indices).cpu()
        corrupt = CORRUPTIONS[self.name]
        corrupted = [
            corrupt(image, self.strength, generator)
            for image, generator in zip(pixels, self._generators(indices), strict=True)
        ]
        return torch.stack(corrupted) if corrupted else pixels

    def _generators(self, indices: Tensor) -> Iterable[Generator]:
        for index in indices.tolist():
            yield Generator().manual_seed((self.seed * LARGEST + index) % 2**63)


def corrupted(
    domain: LabelledImages, name: str, strength: int = 3, seed: int = 0
) -> LabelledImages:
    """Return a domain with its images corrupted, and the same labels; see `CorruptedImages`."""
    images = CorruptedImages(domain.images, name, strength, seed)
    return LabelledImages(images, domain.labels, domain.classes)


def _noisy(image: Tensor, strength: int, generator: Generator) -> Tensor:
    """Add Gaussian noise to each value."""
    noise = torch.randn(image.shape, generator=generator)
    return _to_uint8(image + 255 * (0.08, 0.14, 0.22, 0.32, 0.45)[strength - 1] * noise)


def _blurred(image: Tensor, strength: int, _: Generator) -> Tensor:
    """Blur by a Gaussian."""
    from torchvision.transforms.v2 import functional as tv

    sigma = (0.6, 1.0, 1.5, 2.1, 2.8)[strength - 1] * image.shape[-1] / SIDE
    reach = min(int(3 * sigma + 0.5), image.shape[-1] - 1)
    found: Tensor = tv.gaussian_blur(image, [2 * reach + 1] * 2, [sigma] * 2)
    return found


def _compressed(image: Tensor, strength: int, _: Generator) -> Tensor:
    """Compress as JPEG and read again."""
    written = BytesIO()
    quality = (40, 25, 15, 8, 4)[strength - 1]
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(written, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(written))).permute(2, 0, 1)


def _faded(image: Tensor, strength: int, _: Generator) -> Tensor:
    """Take contrast away."""
    from torchvision.transforms.v2 import functional as tv

    found: Tensor = tv.adjust_contrast(image, (0.6, 0.45, 0.3, 0.2, 0.12)[strength - 1])
    return found


def _lit(image: Tensor, strength: int, _: Generator) -> Tensor:
    """Add light."""
    return _to_uint8(image + 255 * (0.15, 0.25, 0.37, 0.5, 0.65)[strength - 1])


def _darkened(image: Tensor, strength: int, _: Generator) -> Tensor:
    """Take light away."""
    from torchvision.transforms.v2 import functional as tv

    found: Tensor = tv.adjust_brightness(image, (0.6, 0.45, 0.3, 0.2, 0.12)[strength - 1])
    return found


def _warped(image: Tensor, strength: int, generator: Generator) -> Tensor:
    """Move pixels by a smooth field."""
    from torchvision.transforms.v2 import functional as tv

    side = image.shape[-1]
    coarse = torch.randn(1, 2, 5, 5, generator=generator)
    field = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
    by = (0.04, 0.07, 0.1, 0.14, 0.18)[strength - 1]  # of half the side
    found: Tensor = tv.elastic(image, by * field.permute(0, 2, 3, 1))
    return found


def _posterised(image: Tensor, strength: int, _: Generator) -> Tensor:
    """Keep few levels of each colour."""
    from torchvision.transforms.v2 import functional as tv

    found: Tensor = tv.posterize(image, (5, 4, 3, 2, 1)[strength - 1])
    return found


def _pixelated(image: Tensor, strength: int, _: Generator) -> Tensor:
    """Make the picture small and large again."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as tv

    side = image.shape[-1]
    small = max(1, round(side * (0.5, 0.4, 0.32, 0.25, 0.18)[strength - 1]))
    shrunk = tv.resize(image, [small, small], antialias=True)
    found: Tensor = tv.resize(shrunk, [side, side], InterpolationMode.NEAREST_EXACT)
    return found


def _to_uint8(image: Tensor) -> Tensor:
    return image.round().clamp(0, 255).to(torch.uint8)


Corrupt = Callable[[Tensor, int, Generator], Tensor]
CORRUPTIONS: dict[str, Corrupt] = {
    "noisy": _noisy,
    "blurred": _blurred,
    "compressed": _compressed,
    "faded": _faded,
    "lit": _lit,
    "darkened": _darkened,
    "warped": _warped,
    "posterised": _posterised,
    "pixelated": _pixelated,
}
"""From a uint8 image (3, S, S), a strength and a source of random numbers to a corrupted image."""
