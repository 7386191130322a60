"""Read every image of what is to be answered, each in its place, with its file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.datasets.decoding import file_of
from dacbn.datasets.fitting import Fit
from dacbn.datasets.folders import read_each
from dacbn.datasets.images import FileImages, Images
from dacbn.datasets.inputs import UnlabelledLike, to_unlabelled, without_labels
from dacbn.datasets.listing import list_images
from dacbn.datasets.load import is_dataset
from dacbn.datasets.many_files import OnUnreadable
from dacbn.datasets.packed import ImageFile
from dacbn.datasets.recognise import files_in, pictures_in


class EveryImage(NamedTuple):
    """N images, of which R can be read.

    Attributes:
        images: those that can be read, in order.
        files: the file of each; None for one that came without a file.
        reasons: why each cannot be read; None for one that can.
    """

    images: Images
    files: tuple[ImageFile | None, ...]
    reasons: tuple[str | None, ...]

    @property
    def readable(self) -> Tensor:
        """Which images can be read: bool (N,)."""
        return torch.tensor([reason is None for reason in self.reasons], dtype=torch.bool)


def read_every(
    data: UnlabelledLike,
    size: int,
    *,
    on_unreadable: OnUnreadable = "skip",
    fit: Fit = "crop",
    columns: Sequence[str] = (),
    cache: str = "none",
    **options: Any,
) -> EveryImage:
    """Read every image of a folder at any depth, sorted by path, or of anything else in its order.

    No part of a folder is left out. Of a dataset with a name the published test part is read.

    Args:
        data: what `to_unlabelled` takes, or the path of one image.
        size: pixels per side.
        on_unreadable: leave out files that cannot be read, with a warning, or raise.
        fit: how an image becomes square.
        columns: columns of tables, as in `load_labelled`.
        cache: as in `load_labelled`.
        options: other arguments of `load_unlabelled`, for datasets with a name.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: `data` has an unknown type or no images; or a file cannot be read, and
            `on_unreadable` is "raise".
    """
    given = without_labels(data)
    named = isinstance(given, str | Path) and not is_dataset(given)
    if files := [Path(given)] if named else files_in(given):
        files = list_images(*files, columns=columns)
        images, reasons = read_each(files, size, on_unreadable, fit, cache)
        return EveryImage(images, tuple(files), tuple(reasons))
    if pictures := pictures_in(given):
        images, reasons = read_each(pictures, size, on_unreadable, fit)
        return EveryImage(images, tuple(map(file_of, pictures)), tuple(reasons))
    images = to_unlabelled(data, size, train=False, fit=fit, **options).images
    known = images.paths if isinstance(images, FileImages) else (None,) * len(images)
    return EveryImage(images, known, (None,) * len(images))
