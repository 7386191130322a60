"""Decode image files of any format, size and colour mode to uint8 tensors."""

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
PROGRESS_MIN_FILES = 500  # fewer files are read too fast for a progress bar
MAX_NAMED_FILES = 5  # in a message about unreadable files

OnUnreadable = Literal["skip", "raise"]


def decode(path: Path, size: int) -> Tensor:
    """Decode one file to uint8 (3, size, size): resize the short side, crop the centre.

    Raises:
        OSError: the file is not an image or is truncated (Pillow raises other types as well).
        ValueError: the pixels are floating-point.
    """
    with Image.open(path) as file:
        file.draft("RGB", (2 * size, 2 * size))  # decodes a large JPEG at lower resolution
        image = _to_rgb(ImageOps.exif_transpose(file))
    fitted = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).contiguous()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point images are not supported: convert them to 8 bits")
    if image.mode.startswith("I"):  # Pillow's conversion would clip 16-bit pixels at 255
        image = Image.fromarray((np.array(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.has_transparency_data:  # white, as in a viewer; without alpha it is often black
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def decode_each(paths: Sequence[Path], size: int, keep: bool) -> tuple[list[bool], Tensor]:
    """Decode every file once, in parallel threads.

    Args:
        paths: N image files.
        size: pixels per side.
        keep: whether to return the pixels; otherwise files are only tested.

    Returns:
        N flags that are true for readable files, and the uint8 pixels (R, 3, size, size) of the R
        readable files; R = 0 without `keep`.
    """
    pixels = torch.empty(len(paths) if keep else 0, 3, size, size, dtype=torch.uint8)

    def read(index: int) -> bool:
        try:
            decoded = decode(paths[index], size)
        except Exception:  # Pillow raises SyntaxError, struct.error and others
            return False
        if keep:
            pixels[index] = decoded
        return True

    quiet = None if len(paths) > PROGRESS_MIN_FILES else True  # None: a bar on terminals only
    with ThreadPoolExecutor() as threads:
        results = threads.map(read, range(len(paths)))
        readable = list(tqdm(results, "reading images", len(paths), disable=quiet))
    if keep and not all(readable):
        pixels = pixels[torch.tensor(readable)]
    return readable, pixels


def report_unreadable(paths: Sequence[Path], on_unreadable: OnUnreadable) -> None:
    """Warn or raise once, naming the files that could not be read.

    Raises:
        ValueError: `paths` is not empty and `on_unreadable` is "raise".
    """
    if not paths:
        return
    names = ", ".join(str(path) for path in paths[:MAX_NAMED_FILES])
    more = ", ..." if len(paths) > MAX_NAMED_FILES else ""
    files = "1 image is" if len(paths) == 1 else f"{len(paths)} images are"
    message = f"{files} unreadable or cut short: {names}{more}"
    if on_unreadable == "raise":
        raise ValueError(f'{message}; replace or delete them, or pass on_unreadable="skip"')
    warnings.warn(f"{message}; skipped", stacklevel=2)
