"""Decode many files or pictures, and say once what is unreadable, left out or nearly black."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from dacbn.datasets.decoding import Picture, UnreadableImageError, file_of, read_picture
from dacbn.datasets.fitting import Fit
from dacbn.datasets.packed import ImageFile
from dacbn.datasets.pixels import darkness
from dacbn.progress import counted
from dacbn.spelling import spell

MAX_NAMED_FILES = 5  # in a message

OnUnreadable: TypeAlias = Literal["skip", "raise"]


def decode_each(
    paths: Sequence[ImageFile | Image.Image],
    size: int,
    keep: bool,
    fit: Fit = "crop",
    on_unreadable: OnUnreadable = "skip",
) -> tuple[list[str | None], Tensor]:
    """Decode every file once, in parallel threads, and warn once of each fault.

    Args:
        paths: N image files, or N pictures of Pillow's, which may be opened only.
        size: pixels per side.
        keep: whether to return the pixels; otherwise files are only tested.
        fit: how an image becomes square.
        on_unreadable: skip unreadable files with a warning, or raise.

    Returns:
        for each file None, or why it is unreadable; and the uint8 pixels (R, 3, size, size) of
        the R readable files, R = 0 without `keep`.

    Raises:
        ValueError: a file is unreadable and `on_unreadable` is "raise".
    """
    names = [_name(path, number) for number, path in enumerate(paths, start=1)]
    pixels = torch.empty(len(paths) if keep else 0, 3, size, size, dtype=torch.uint8)

    def read(index: int) -> Picture | str:
        try:
            picture = read_picture(paths[index], size, fit)
        except UnreadableImageError as error:
            return error.reason
        if keep:
            pixels[index] = picture.pixels
        return picture._replace(pixels=pixels[:0])  # the pixels would fill the memory

    # one thread loads pictures, since the same may come twice
    one = 1 if any(isinstance(path, Image.Image) for path in paths) else None
    with ThreadPoolExecutor(one) as threads:
        results = threads.map(read, range(len(paths)))
        outcomes = list(counted(results, len(paths), "image", "reading images"))
    reasons = [outcome if isinstance(outcome, str) else None for outcome in outcomes]
    pictures = {
        name: outcome
        for name, outcome in zip(names, outcomes, strict=True)
        if isinstance(outcome, Picture)
    }
    report_unreadable(
        [(name, why) for name, why in zip(names, reasons, strict=True) if why], on_unreadable
    )
    _report_notes(pictures)
    if keep and any(reasons):
        pixels = pixels[torch.tensor([reason is None for reason in reasons])]
    return reasons, pixels


def report_unreadable(
    failures: Sequence[tuple[ImageFile, str]], on_unreadable: OnUnreadable = "skip"
) -> None:
    """Warn or raise once, naming the files that could not be read, each with the reason.

    Raises:
        ValueError: there are `failures` and `on_unreadable` is "raise".
    """
    if not failures:
        return
    files = "1 image is" if len(failures) == 1 else f"{len(failures)} images are"
    message = f"{files} unreadable: " + shortened([f"{path} ({why})" for path, why in failures])
    if on_unreadable == "raise":
        cure = f"replace or delete them, or pass {spell('on_unreadable', 'skip')}"
        raise ValueError(f"{message}; {cure}")
    warnings.warn(f"{message}; skipped", stacklevel=3)


def shortened(names: Sequence[str]) -> str:
    """Join names for a message, the first few of many."""
    return ", ".join([*names[:MAX_NAMED_FILES], *["..."][: len(names) > MAX_NAMED_FILES]])


def _name(path: ImageFile | Image.Image, number: int) -> ImageFile:
    """Return the file to name in a message; of a picture in memory its place, from 1."""
    if isinstance(path, Image.Image):
        return file_of(path) or Path(f"picture {number}")
    return path


def _report_notes(pictures: dict[ImageFile, Picture]) -> None:
    noted = defaultdict(list)
    for path, picture in pictures.items():
        if picture.note is not None:
            noted[picture.note].append(str(path))
    for note, names in noted.items():
        files = "1 image has" if len(names) == 1 else f"{len(names)} images have"
        warnings.warn(f"{files} {note}: {shortened(names)}", stacklevel=3)
    peaks = {path: picture.peak for path, picture in pictures.items() if picture.peak is not None}
    if peaks and (dark := darkness(max(peaks.values()))):
        warnings.warn(f"{dark}: {shortened(list(map(str, peaks)))}", stacklevel=3)
