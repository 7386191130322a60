"""Images in the order in which they arrive: any iterable, without length or end, in batches.

No image is asked for before the batch ahead of it is answered, and none is kept.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from dacbn.datasets import Fit, OnUnreadable, UnlabelledLike
from dacbn.datasets.arrays import CHANNELS, unlabelled
from dacbn.datasets.decoding import UnreadableImageError, file_of, read_picture
from dacbn.datasets.hugging_face import is_hugging_face
from dacbn.datasets.images import LabelledImages, UnlabelledImages
from dacbn.datasets.inputs import to_unlabelled, without_labels
from dacbn.datasets.listing import list_images
from dacbn.datasets.load import is_dataset
from dacbn.datasets.map_style import is_map_style
from dacbn.datasets.npz import is_array_row, read_pixels
from dacbn.datasets.packed import ImageFile, PackedFile
from dacbn.datasets.recognise import Array, is_array, items_in, refusal
from dacbn.spelling import spell

Arriving: TypeAlias = UnlabelledLike | Iterable[Any]
"""What a stream may be: anything that is predicted, or an iterable of files, pictures, arrays
(H, W), (H, W, C) or (C, H, W), batches of them, or pairs of one of these with labels."""

NARROW = 8  # pixels; an array (A, B, C) with a smaller C is an image, with that many channels

Single: TypeAlias = ImageFile | Image.Image | Array


class Arrived(NamedTuple):
    """A batch of B images, of which R can be read.

    Attributes:
        pixels: those that can be read, in order: uint8 (R, 3, S, S).
        files: the file of each; None for one that came without a file.
        reasons: why each cannot be read; None for one that can.
    """

    pixels: Tensor
    files: tuple[ImageFile | None, ...]
    reasons: tuple[str | None, ...]


def arrive(
    data: Arriving,
    size: int,
    batch_size: int,
    on_unreadable: OnUnreadable = "skip",
    fit: Fit = "crop",
    **options: Any,
) -> Iterator[Arrived]:
    """Yield batches of images, in the order in which they arrive.

    Args:
        data: the images. A folder gives its files in the order of their names; the path of a folder
            that arrives among others gives them too.
        size: pixels per side.
        batch_size: images in a batch; the last may be smaller.
        on_unreadable: give an image that cannot be read its place, with the reason, or raise.
        fit: how an image becomes square.
        options: other arguments of `load_unlabelled`, for datasets with a name.

    Raises:
        ValueError: there is no image; something that arrives is none; or one cannot be read, and
            `on_unreadable` is "raise".
    """
    singles, count = _singles(_items(data, size, fit, options)), 0
    read = partial(_read, size=size, fit=fit)
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as threads:
        while batch := list(islice(singles, batch_size)):
            paths = [each for each in batch if isinstance(each, Path)]
            found: list[Tensor | str]
            if len(paths) == len(batch) and all(map(is_array_row, paths)):
                found = [*read_pixels(paths, size, fit)]
            elif len(paths) == len(batch) > 1:
                found = list(threads.map(read, batch))
            else:  # one thread loads pictures, since the same may come twice
                found = list(map(read, batch))
            files = tuple(map(_file, batch))
            reasons = tuple(each if isinstance(each, str) else None for each in found)
            if on_unreadable == "raise" and any(reasons):
                _refuse(files, reasons, count)
            pixels = [each for each in found if isinstance(each, Tensor)]
            empty = torch.empty(0, 3, size, size, dtype=torch.uint8)
            yield Arrived(torch.stack(pixels) if pixels else empty, files, reasons)
            count += len(batch)
    if not count:
        raise ValueError(
            "the stream ended before its first image: give an iterable with images, and a new one "
            "each time, since an iterator is empty after its first use"
        )


def _items(data: Any, size: int, fit: Fit, options: dict[str, Any]) -> Iterator[Any]:
    """Return what arrives, one after the other."""
    if isinstance(data, DataLoader):
        return iter(data)
    data = without_labels(data)
    if isinstance(data, Image.Image):
        return iter([data])
    named = isinstance(data, str | Path)
    if named and not is_dataset(data):
        return iter(list_images(data, columns=options.get("columns", ())))
    domain = isinstance(data, LabelledImages | UnlabelledImages)
    if named or domain or is_map_style(data) or is_hugging_face(data):
        images = to_unlabelled(data, size, train=False, fit=fit, **options).images
        return (images.gather(torch.tensor([row])) for row in range(len(images)))
    if is_array(data):
        return iter([data])
    if not isinstance(data, Iterable) or isinstance(data, Mapping):
        raise refusal(data)
    return iter(data)


def _singles(items: Iterator[Any]) -> Iterator[Single]:
    """Yield single images of items that may hold several."""
    for given in items:
        if isinstance(given, list) and (several := items_in(given)):
            yield from several
            continue
        item = given[0] if isinstance(given, tuple | list) and given else given
        if isinstance(item, str):
            item = Path(item)
        if isinstance(item, Path) and item.is_dir():
            yield from _in_folder(item)
        elif isinstance(item, Path | PackedFile | Image.Image):
            yield item
        elif is_array(item):
            array = item if isinstance(item, Tensor) else np.asarray(item)
            yield from [array] if _is_single(tuple(array.shape)) else array
        else:
            raise refusal(item)


def _in_folder(folder: Path) -> Sequence[Single]:
    """List the images of a folder; one without is an image that cannot be read."""
    try:
        return list_images(folder)
    except ValueError:
        return [folder]


def _is_single(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is one image, in grey, in colour or with other channels."""
    return len(shape) == 2 or (len(shape) == 3 and (shape[0] in CHANNELS or shape[2] < NARROW))


def _read(item: Single, size: int, fit: Fit) -> Tensor | str:
    """Return the pixels (3, S, S) of an image, or why it cannot be read."""
    try:
        if isinstance(item, Path | PackedFile | Image.Image):
            return read_picture(item, size, fit).pixels
        images: Any = unlabelled(item[None], size, fit).images
        pixels: Tensor = images.pixels[0].cpu()
        return pixels
    except UnreadableImageError as error:
        return error.reason
    except ValueError as error:
        return str(error)


def _file(item: Single) -> ImageFile | None:
    if isinstance(item, Image.Image):
        return file_of(item)
    return item if isinstance(item, Path | PackedFile) else None


def _refuse(files: Sequence[ImageFile | None], reasons: Sequence[str | None], before: int) -> None:
    place = next(place for place, reason in enumerate(reasons) if reason is not None)
    name = files[place] or f"image {before + place + 1}"
    raise ValueError(
        f"{name} of the stream cannot be read: {reasons[place]}; to give it a row with this reason "
        f"and go on, pass {spell('on_unreadable', 'skip')}"
    )
