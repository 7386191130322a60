"""A few labelled images of a target: all of them are read, and come by themselves in each batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dacbn.batch import Batch
from dacbn.datasets.fetching import place_images
from dacbn.datasets.images import LabelledImages
from dacbn.datasets.inputs import LabelledLike, to_labelled, without_labels
from dacbn.datasets.layout import find_parts
from dacbn.datasets.listing import list_folder
from dacbn.datasets.load import is_dataset
from dacbn.datasets.loaders import stream_batches
from dacbn.datasets.packed import ImageFile
from dacbn.datasets.recognise import files_in
from dacbn.datasets.transforms import Family
from dacbn.spelling import spell

OWN_SEED = 1  # beside the run's seed: order and views are independent of those of other images


def read_labelled_target(
    data: LabelledLike, size: int, classes: Sequence[str], **options: Any
) -> LabelledImages:
    """Read the labelled images of a target: all in a folder or list, without a test part.

    Of a folder with parts, and of a dataset with a name, the training part is read.

    Args:
        data: what `to_labelled` takes.
        size: pixels per side.
        classes: the names of the source's classes; the labels become positions among them.
        options: other arguments of `load_labelled`.

    Raises:
        ValueError: there are no labels, or a class that is not the source's.
    """
    if _is_path(data):
        options |= {"trained_on": ()}  # of a folder without parts, the test part is then all of it
    try:
        return to_labelled(data, size, _has_training_part(data), classes, **options)
    except ValueError as error:
        error.args = (f"{spell('target_labelled')}: {error}",)
        raise


def labelled_files(*data: LabelledLike) -> tuple[Path, ...]:
    """Return the absolute paths of the files that `read_labelled_target` reads.

    A test part leaves them out, wherever they lie.
    """
    return tuple(Path(file).absolute() for each in data for file in _files(each))


def add_labelled(
    stream: Callable[[int], Iterator[Batch]],
    labelled: Sequence[LabelledImages],
    *,
    batch_size: int,
    family: Family,
    seed: int,
    device: torch.device,
    stop: int,
    balance: bool,
    merge: bool = False,
) -> Callable[[int], Iterator[Batch]]:
    """Add labelled target images to the batches of a stream; without any, return the stream.

    They are sampled as `stream_batches` samples sources, epoch by epoch, and change no other image
    of a batch.

    Args:
        stream: function: start step -> iterator over the batches from that step on.
        labelled: the labelled images of each target.
        batch_size: labelled images per batch, of all targets together.
        family: augmentation family.
        seed: seed of the run.
        device: device of the batches.
        stop: last step plus one.
        balance: see `draw_rows`.
        merge: count all targets as one domain.
    """
    own_seed = int(np.random.SeedSequence((seed, OWN_SEED)).generate_state(1)[0])

    def start_at(start: int) -> Iterator[Batch]:
        few = stream_batches(
            [replace(each, images=place_images(each.images, device)) for each in labelled],
            [],
            source_batch_size=batch_size,
            target_batch_size=0,
            family=family,
            strong=False,
            seed=own_seed,
            device=device,
            start=start,
            stop=stop,
            balance=balance,
            merge_sources=merge,
        )
        for batch, own in zip(stream(start), few, strict=True):
            yield batch._replace(
                labelled_images=own.source_images,
                labelled_labels=own.source_labels,
                labelled_counts=own.source_counts,
            )

    return start_at if labelled else stream


def _is_path(data: Any) -> bool:
    return isinstance(data, str | Path) and not is_dataset(data)


def _has_training_part(data: Any) -> bool:
    if not isinstance(data, str | Path):
        return False
    return is_dataset(data) or (Path(data).is_dir() and find_parts(Path(data)) is not None)


def _files(data: Any) -> list[ImageFile]:
    if _is_path(data):
        return list_folder(Path(data), _has_training_part(data), trained_on=())[0]
    images = data.images if isinstance(data, LabelledImages) else without_labels(data)
    return [*(getattr(images, "paths", ()) or files_in(images) or ())]
