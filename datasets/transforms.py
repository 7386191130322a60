"""Random augmentations of batches, computed on the device of the images without synchronising it.

Each image gets its own random parameters; the same generator state gives the same views. A family
is a set of augmentations that keep the class of an image: "digits" (never mirrored), "photos",
"colour" (photos whose colours change too), or "none" (views are the images themselves).
"""

import math
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Family: TypeAlias = Literal["digits", "photos", "colour", "none"]
Place: TypeAlias = tuple[int, int]
"""The first row of some images in a batch, and the rows of the batch."""

ROTATION = math.radians(15)
ZOOM = 0.15
SHEAR = 0.1
SHIFT = 0.2  # as a fraction of half the side
MIN_AREA = 0.5  # of a crop, as a fraction of the image
MAX_LOG_ASPECT = math.log(4 / 3)  # of a crop
JITTER = 0.4  # largest change of brightness, contrast and saturation, as in timm's training
INVERT_PROBABILITY = 0.25  # of digits, whose polarity does not matter
CUTOUT = (0.2, 0.5)  # smallest and largest side, as fractions of the image's side


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 images to float32 in [0, 1]; features stay as they are."""
    return images.float() if images.is_floating_point() else images.float() / 255


def weak_view(
    images: Tensor, family: Family, generator: Generator, place: Place | None = None
) -> Tensor:
    """Apply a small affine map to digits; crop and randomly mirror photos, and jitter colours.

    Borders are filled by reflection, because black borders would reveal the domain.

    Args:
        images: float (B, 3, S, S) in [0, 1].
        family: augmentation family.
        generator: on the device of the images.
        place: where the images are in a batch, if they are only a part of it; their views are
            those that they have in the whole one.

    Returns:
        float (B, 3, S, S) in [0, 1].
    """
    if family == "none":
        return images
    draw = _draw(images, 6, generator, place) * 2 - 1
    jitter = _draw(images, 3, generator, place) * 2 - 1 if family == "colour" else None
    if not len(images):
        return images
    images = warp(images, _move_digits(draw) if family == "digits" else _crop_photos(draw))
    return images if jitter is None else _jitter(images, 1 + JITTER * jitter)


def strong_view(
    images: Tensor, family: Family, generator: Generator, place: Place | None = None
) -> Tensor:
    """Change colours and sharpness of each image and replace a random square by grey.

    Args:
        images: float (B, 3, S, S) in [0, 1]; weak views, if both views are to share one geometry.
        family: augmentation family.
        generator: on the device of the images.
        place: as in `weak_view`.

    Returns:
        float (B, 3, S, S) in [0, 1], with unchanged geometry.
    """
    if family == "none":
        return images
    draw = _draw(images, 11, generator, place)[..., None, None, None]
    if not len(images):
        return images
    invert, brightness, contrast, sharpness, side, x, y, fill = draw[:, :8].unbind(1)
    if family == "digits":
        images = torch.where(invert < INVERT_PROBABILITY, 1 - images, images)
    images = _colour(images, brightness, contrast, draw[:, 8:].reshape(-1, 3, 1, 1))
    images = _sharpen(images, 2 * sharpness).clamp(0, 1)
    return _cut_out(images, CUTOUT[0] + (CUTOUT[1] - CUTOUT[0]) * side, x, y, fill)


def _draw(images: Tensor, count: int, generator: Generator, place: Place | None) -> Tensor:
    """Draw parameters (B, count) in [0, 1) of images; in place, those of the whole batch."""
    first, rows = place or (0, len(images))
    draw = torch.rand(rows, count, generator=generator, device=images.device)
    return draw[first : first + len(images)]


def warp(images: Tensor, theta: Tensor) -> Tensor:
    """Apply affine maps (B, 2, 3), as for torch's `affine_grid`, to images (B, C, S, S)."""
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _move_digits(draw: Tensor) -> Tensor:
    """Map parameters (B, 6) in [-1, 1] to affine maps (B, 2, 3); zeros give the identity."""
    turn, zoom_x, zoom_y, shear, shift_x, shift_y = draw.unbind(1)
    cos, sin = (ROTATION * turn).cos(), (ROTATION * turn).sin()
    zoom_x, zoom_y, shear = 1 + ZOOM * zoom_x, 1 + ZOOM * zoom_y, SHEAR * shear
    return _rows(
        (zoom_x * cos, zoom_x * (shear * cos - sin), SHIFT * shift_x),
        (zoom_y * sin, zoom_y * (shear * sin + cos), SHIFT * shift_y),
    )


def _crop_photos(draw: Tensor) -> Tensor:
    """Map parameters (B, 6) in [-1, 1] to crops, half of them mirrored: (B, 2, 3)."""
    area, stretch, mirror, x, y, _ = draw.unbind(1)
    side = ((1 + MIN_AREA + (1 - MIN_AREA) * area) / 2).sqrt()
    stretch = (MAX_LOG_ASPECT / 2 * stretch).exp()
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    flip = torch.where(mirror < 0, -1.0, 1.0)
    zero = torch.zeros_like(x)
    return _rows((flip * width, zero, (1 - width) * x), (zero, height, (1 - height) * y))


def _rows(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([torch.stack(first, dim=1), torch.stack(second, dim=1)], dim=1)


def _jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast and saturation by factors (B, 3), as torchvision's functions do.

    Those take one factor for a whole batch.
    """
    from torchvision.transforms.v2 import functional as tv

    brightness, contrast, saturation = factors[..., None, None, None].unbind(1)
    images = (images * brightness).clamp(0, 1)
    grey = tv.rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    images = grey.lerp(images, contrast).clamp(0, 1)
    coloured: Tensor = tv.rgb_to_grayscale(images).lerp(images, saturation).clamp(0, 1)
    return coloured


def _colour(images: Tensor, brightness: Tensor, contrast: Tensor, channels: Tensor) -> Tensor:
    """Change brightness, contrast and channels; parameters in [0, 1], 0.5 changes nothing."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (0.4 + 1.2 * contrast) * (images - mean)
    images = images * (0.7 + 0.6 * channels) + 0.6 * (brightness - 0.5)
    return images.clamp(0, 1)


def _sharpen(images: Tensor, amount: Tensor) -> Tensor:
    """Blur (amount 0), keep (1) or sharpen (2)."""
    return _blur(images).lerp(images, amount)


def _blur(images: Tensor) -> Tensor:
    """Blur as torchvision's `gaussian_blur` with 5 pixels and 1.2, without its slow import."""
    reach = math.sqrt(2)  # to the outermost pixel, in units of which the Gaussian is exp(-x²)
    x = torch.linspace(-reach, reach, 5, dtype=images.dtype, device=images.device)
    weights = x.div(1.2).square().neg().softmax(0)
    kernel = (weights[:, None] * weights).expand(images.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(images, [2] * 4, mode="reflect"), kernel, groups=images.shape[1])


def _cut_out(images: Tensor, side: Tensor, x: Tensor, y: Tensor, fill: Tensor) -> Tensor:
    """Fill a square with grey; its side and centre are fractions of the image's side."""
    ticks = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    inside = ((ticks - x).abs() < side / 2) & ((ticks[:, None] - y).abs() < side / 2)
    return torch.where(inside, fill, images)
