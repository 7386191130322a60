"""From image files to uint8 tensors, whatever their format, size and colour mode."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
)
BAR_FROM = 500  # below this many files a progress bar is only noise
NAMED_AT_MOST = 5

OnUnreadable = Literal["skip", "raise"]


def decode(path: Path, size: int) -> Tensor:
    """Read one file as uint8 (3, size, size): short side resized to `size`, centre cropped.

    Raises:
        OSError: the file is no image or is cut short (Pillow raises other kinds as well).
    """
    with Image.open(path) as file:
        file.draft("RGB", (2 * size, 2 * size))  # lets JPEG skip detail that the resize would drop
        image = _to_rgb(ImageOps.exif_transpose(file))
    fitted = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).contiguous()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):  # Pillow's own conversion would clip 16 bits at 255
        image = Image.fromarray((np.array(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.has_transparency_data:  # a viewer shows white there; dropping alpha often shows black
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def decode_each(paths: Sequence[Path], size: int, keep: bool) -> tuple[list[bool], Tensor]:
    """Decode every file once, in threads.

    Args:
        paths: N image files.
        size: pixels per side.
        keep: whether to hold the pixels, or only learn which files are readable.

    Returns:
        Which files are readable, and their uint8 pixels (R, 3, size, size); R = 0 unless kept.
    """
    pixels = torch.empty(len(paths) if keep else 0, 3, size, size, dtype=torch.uint8)

    def read(index: int) -> bool:
        try:
            decoded = decode(paths[index], size)
        except Exception:  # a broken file makes Pillow raise SyntaxError, struct.error and more
            return False
        if keep:
            pixels[index] = decoded
        return True

    quiet = None if len(paths) > BAR_FROM else True  # None: no bar unless on a terminal
    with ThreadPoolExecutor() as threads:
        results = threads.map(read, range(len(paths)))
        readable = list(tqdm(results, "reading images", len(paths), disable=quiet))
    if keep and not all(readable):
        pixels = pixels[torch.tensor(readable)]
    return readable, pixels


def report_unreadable(paths: Sequence[Path], on_unreadable: OnUnreadable) -> None:
    """Name files that could not be read, in one warning or one error.

    Raises:
        ValueError: there are such files and `on_unreadable` is "raise".
    """
    if not paths:
        return
    names = ", ".join(str(path) for path in paths[:NAMED_AT_MOST])
    more = ", ..." if len(paths) > NAMED_AT_MOST else ""
    files = "1 image is" if len(paths) == 1 else f"{len(paths)} images are"
    message = f"{files} unreadable or cut short: {names}{more}"
    if on_unreadable == "raise":
        raise ValueError(f'{message}; replace or delete them, or pass on_unreadable="skip"')
    warnings.warn(f"{message}; skipped", stacklevel=2)
