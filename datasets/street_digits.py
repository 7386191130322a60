"""Synthetic photographs of house numbers: a domain unlike scanned digits, without any download."""

import functools
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor

from dacbn.datasets.catalogue import DIGIT_CLASSES, DIGIT_SIZE, datasets
from dacbn.datasets.images import LabelledImages, TensorImages
from dacbn.datasets.textures import make_textures

TRAIN_COUNT, TEST_COUNT = 3000, 1000
SEED = 11
FONTS = ("DejaVuSans*[!y].ttf", "DejaVuSerif*[!y].ttf", "STIXGeneral*.ttf", "cmss10.ttf")
GLYPH_HEIGHT, GLYPH_WIDTH = 64, 38  # pixels of a drawn digit, before it is scaled down
MIN_CONTRAST = 0.25  # difference in brightness between digit and wall, in [0, 1]
NEIGHBOUR_PROBABILITY = 0.7  # of another digit at the left, and at the right


@datasets.register("street_digits")
def street_digits(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return 3,000 training or 1,000 test images, 32x32, with equally many images per class.

    Reads no dataset files; every call returns the same pixels.
    """
    return _make(train)


@functools.cache
def _make(train: bool) -> LabelledImages:
    generator = torch.Generator().manual_seed(SEED + train)
    count = TRAIN_COUNT if train else TEST_COUNT
    labels = torch.arange(count)[torch.randperm(count, generator=generator)] % 10
    masks = _distort(_draw_numbers(labels, generator), generator)
    pixels = (_render(masks, generator) * 255).round().to(torch.uint8)
    return LabelledImages(TensorImages(pixels), labels, DIGIT_CLASSES)


@functools.cache
def _glyphs() -> Tensor:
    """Draw every digit in every font: float (fonts, 10, GLYPH_HEIGHT, GLYPH_WIDTH) in [0, 1]."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = sorted(path for pattern in FONTS for path in folder.glob(pattern))
    return torch.stack(
        [torch.stack([_glyph(path, digit) for digit in "0123456789"]) for path in paths]
    )


def _glyph(font: Path, digit: str) -> Tensor:
    image = Image.new("L", (GLYPH_WIDTH, GLYPH_HEIGHT))
    centre = (GLYPH_WIDTH / 2, 0.78 * GLYPH_HEIGHT)
    ImageDraw.Draw(image).text(centre, digit, 255, ImageFont.truetype(font, 50), anchor="ms")
    return torch.from_numpy(np.array(image)).float() / 255


def _draw_numbers(labels: Tensor, generator: Generator) -> Tensor:
    """Write digits between two neighbours in one font: (N, 1, GLYPH_HEIGHT, 3 GLYPH_WIDTH)."""
    count, glyphs = len(labels), _glyphs()
    font = torch.randint(len(glyphs), (count,), generator=generator)
    neighbours = glyphs[font[:, None], torch.randint(10, (count, 2), generator=generator)]
    present = torch.rand(count, 2, 1, 1, generator=generator) < NEIGHBOUR_PROBABILITY
    neighbours = neighbours * present
    return torch.cat([neighbours[:, 0], glyphs[font, labels], neighbours[:, 1]], dim=-1).unsqueeze(
        1
    )


def _distort(masks: Tensor, generator: Generator) -> Tensor:
    """Rotate, shear, scale and shift each number: (N, 1, DIGIT_SIZE, DIGIT_SIZE)."""
    count, height, width = len(masks), masks.shape[-2], masks.shape[-1]
    draw = torch.rand(count, 6, generator=generator) * 2 - 1
    angle, shear = draw[:, 0] * math.radians(12), draw[:, 1] * 0.15
    zoom_x, zoom_y = 0.95 + 0.15 * draw[:, 2], 0.95 + 0.12 * draw[:, 3]
    cos, sin = angle.cos(), angle.sin()
    aspect = height / width  # the output is square and shows the full height
    theta = torch.stack(
        [
            torch.stack([aspect * cos * zoom_x, aspect * (shear - sin), draw[:, 4] * 0.04], dim=1),
            torch.stack([sin, cos * zoom_y, draw[:, 5] * 0.10], dim=1),
        ],
        dim=1,
    )
    fine = [count, 1, 2 * DIGIT_SIZE, 2 * DIGIT_SIZE]
    grid = F.affine_grid(theta, fine, align_corners=False)
    return F.avg_pool2d(F.grid_sample(masks, grid, align_corners=False), 2)


def _render(masks: Tensor, generator: Generator) -> Tensor:
    """Draw digits on walls, with uneven light, blur and noise: (N, 3, S, S) in [0, 1]."""
    from torchvision.transforms.v2 import functional as tv

    count, size = len(masks), masks.shape[-1]
    wall, paint = _colours(count, generator)
    grain = make_textures(count, size, 0.04, generator)
    wall = wall + grain - grain.mean(dim=(2, 3), keepdim=True)
    images = wall + masks * (paint - wall)
    slope = torch.rand(count, 2, 1, 1, 1, generator=generator) - 0.5
    ramp = torch.linspace(-1, 1, size)
    images = images * (1 + 0.5 * (slope[:, 0] * ramp + slope[:, 1] * ramp[:, None]))
    sharpness = torch.rand(count, 1, 1, 1, generator=generator)
    blurred: Tensor = tv.gaussian_blur(images, [7, 7], [1.4, 1.4])
    images = blurred.lerp(images, sharpness)
    return (images + 0.02 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def _colours(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw wall and digit colours (N, 3, 1, 1) that differ by MIN_CONTRAST or more."""
    wall = 0.1 + 0.8 * torch.rand(count, 1, 1, 1, generator=generator)
    gap = MIN_CONTRAST + 0.3 * torch.rand(count, 1, 1, 1, generator=generator)
    brighter = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    brighter = (brighter & (wall + gap < 1)) | (wall - gap < 0)
    paint = torch.where(brighter, wall + gap, wall - gap)
    tints = 0.2 * (torch.rand(2, count, 3, 1, 1, generator=generator) - 0.5)
    return (wall + tints[0]).clamp(0, 1), (paint + tints[1]).clamp(0, 1)
