"""Decode many files or pictures, and say once what is unreadable, left out or nearly black."""

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
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

NO_PIXELS = torch.empty(0, dtype=torch.uint8)

OnUnreadable: TypeAlias = Literal["skip", "raise"]
Outcome: TypeAlias = Picture | str
"""What is known of a file that was decoded, without its pixels; or why it is unreadable."""


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
    pixels = torch.empty(len(paths) if keep else 0, 3, size, size, dtype=torch.uint8)
    results = decode_into(pixels if keep else None, paths, size, fit)
    outcomes = list(counted(results, len(paths), "image", "reading images"))
    reasons = report(paths, outcomes, on_unreadable)
    if keep and any(reasons):
        pixels = pixels[torch.tensor([reason is None for reason in reasons])]
    return reasons, pixels


def decode_into(
    pixels: Tensor | None, paths: Sequence[ImageFile | Image.Image], size: int, fit: Fit
) -> Iterator[Outcome]:
    """Decode files in parallel threads, and yield in order what is known of each.

    Args:
        pixels: where the pixels go: uint8 (N, 3, size, size); None drops them.
        paths: N files or pictures.
        size: pixels per side.
        fit: how an image becomes square.
    """

    def read(index: int) -> Outcome:
        try:
            picture = read_picture(paths[index], size, fit)
        except UnreadableImageError as error:
            return error.reason
        if pixels is not None:
            pixels[index] = picture.pixels
        return picture._replace(pixels=NO_PIXELS)  # the pixels would fill the memory

    # one thread loads pictures, since the same may come twice
    one = any(isinstance(path, Image.Image) for path in paths)
    with ThreadPoolExecutor(1 if one else (os.cpu_count() or 1) + 1) as threads:
        yield from threads.map(read, range(len(paths)))


def report(
    paths: Sequence[ImageFile | Image.Image],
    outcomes: Sequence[Outcome],
    on_unreadable: OnUnreadable,
) -> list[str | None]:
    """Warn once of each fault; return for each file None, or why it is unreadable.

    Raises:
        ValueError: a file is unreadable and `on_unreadable` is "raise".
    """
    names = [_name(path, number) for number, path in enumerate(paths, start=1)]
    failures = [
        (name, each) for name, each in zip(names, outcomes, strict=True) if isinstance(each, str)
    ]
    report_unreadable(failures, on_unreadable)
    _report_notes(
        {
            name: each
            for name, each in zip(names, outcomes, strict=True)
            if isinstance(each, Picture) and (each.note, each.peak) != (None, None)
        }
    )
    return [each if isinstance(each, str) else None for each in outcomes]


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
