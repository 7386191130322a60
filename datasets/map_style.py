"""Read a map-style dataset of torch or torchvision, or the one that a data loader reads in order.

Every item is fetched once, in order: an image, or an image and its label first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
)

from dacbn.datasets.arrays import size_of_array, unlabelled
from dacbn.datasets.decoding import read_picture
from dacbn.datasets.fitting import Fit
from dacbn.datasets.images import TensorImages
from dacbn.datasets.recognise import is_array, is_image_folder
from dacbn.memory import require_memory
from dacbn.progress import counted
from dacbn.spelling import spell


def is_map_style(data: Any) -> bool:
    """Return whether this is a dataset with an order, of which files are not known."""
    if isinstance(data, IterableDataset) or is_image_folder(data):
        return False
    return isinstance(data, Dataset)


def read_map_style(dataset: Any, size: int, fit: Fit = "crop") -> tuple[TensorImages, list[Any]]:
    """Read all images, and their labels.

    Args:
        dataset: a map-style dataset.
        size: pixels per side.
        fit: how images become square.

    Returns:
        N images; and N labels, whole numbers or names, none if items are images alone.

    Raises:
        ValueError: there are no items, or one is not an image, or an image and a label.
    """
    count = len(dataset)
    if not count:
        raise ValueError(f"{type(dataset).__name__} is empty: pass at least one image")
    require_memory(
        3 * count * size**2,
        f"{count} images of {size} pixels per side",
        f"lower {spell('image_size')}, or pass image files, which need not fit",
    )
    pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
    labels = []
    items = (dataset[row] for row in range(count))
    for row, item in enumerate(counted(items, count, "image", "reading images")):
        image, *rest = _parts(item)
        pixels[row] = _read(image, size, fit)
        labels += rest[:1]
    if labels and len(labels) < count:
        raise ValueError(f"{count - len(labels)} of {count} items have no label: give all or none")
    return TensorImages(pixels), _name(dataset, [_plain(label) for label in labels])


def size_of_items(dataset: Any, largest: int) -> int:
    """Return the pixels per side of the first image; at most `largest` of a picture."""
    image = _parts(dataset[0])[0]
    if isinstance(image, Image.Image):
        return min(largest, *image.size)
    return size_of_array((1, *image.shape))


def dataset_of(loader: DataLoader[Any]) -> Any:
    """Return the dataset of a loader that reads it in order; a loader of a stream as it is.

    A loader with a sampler of batches says that it has a sequential one of images as well.

    Raises:
        ValueError: a loader has another order.
    """
    if isinstance(loader.dataset, IterableDataset):
        return loader
    batches = loader.batch_sampler
    sampler = loader.sampler if batches is None else getattr(batches, "sampler", None)
    if type(batches) not in (type(None), BatchSampler) or type(sampler) is not SequentialSampler:
        raise ValueError(
            "cannot take images from a DataLoader that shuffles or samples: pass loader.dataset, "
            "or torch.utils.data.Subset(loader.dataset, rows)"
        )
    return loader.dataset


def _parts(item: Any) -> tuple[Any, ...]:
    """Return an item as a tuple whose first is an image."""
    parts = tuple(item) if isinstance(item, tuple | list) else (item,)
    if not parts or not (isinstance(parts[0], Image.Image) or is_array(parts[0])):
        kind = type(item).__name__ if isinstance(item, Mapping) or not parts else None
        kind = kind or type(parts[0]).__name__
        raise ValueError(
            f"items of the dataset begin with {kind}: return (image, label), with an image of "
            "Pillow or an array"
        )
    return parts


def _read(image: Any, size: int, fit: Fit) -> Tensor:
    if isinstance(image, Image.Image):
        return read_picture(image, size, fit).pixels
    array = image if isinstance(image, Tensor) else np.asarray(image)
    return unlabelled(array[None], size, fit).images.gather(torch.arange(1))[0]


def _plain(label: Any) -> Any:
    """Return a label as Python's; an array of one, as MedMNIST's are, too."""
    if not is_array(label):
        return label
    if np.prod(label.shape) != 1:
        raise ValueError(
            f"the label of an item has shape {tuple(label.shape)}: give one label for each image"
        )
    return label.item()


def _name(dataset: Any, labels: list[Any]) -> list[Any]:
    """Return labels as the names of their classes, where the dataset has names."""
    names = set(_names(dataset))
    if len(names) > 1:
        raise ValueError(
            "the parts of the dataset number different classes: pass each part as a domain"
        )
    classes = names.pop()
    if classes is None or not all(type(label) is int for label in labels):
        return labels
    if wrong := [label for label in labels if not 0 <= label < len(classes)]:
        raise ValueError(
            f"label {wrong[0]} is none of the {len(classes)} classes of the dataset: leave these "
            "images out"
        )
    return [classes[label] for label in labels]


def _names(dataset: Any) -> Iterator[tuple[str, ...] | None]:
    """Yield the class names of a dataset, or of all that it consists of."""
    if isinstance(dataset, ConcatDataset):
        for each in dataset.datasets:
            yield from _names(each)
    elif isinstance(dataset, Subset):
        yield from _names(dataset.dataset)
    else:
        classes = getattr(dataset, "classes", None)
        named = isinstance(classes, list | tuple) and all(isinstance(x, str) for x in classes)
        yield tuple(classes) if named and classes else None
