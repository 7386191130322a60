"""Streams of batches. A batch depends only on its step, so a resumed run sees the same batches."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from dacbn.batch import Batch, TargetBatch
from dacbn.datasets.class_balance import balanced_rows
from dacbn.datasets.features import FeatureViews, draw_view
from dacbn.datasets.images import Images, LabelledImages, TensorImages, UnlabelledImages
from dacbn.datasets.transforms import Family, strong_view, to_float, weak_view

SOURCE_ORDER, TARGET_ORDER, VIEWS = range(3)  # independent random numbers from one seed
PREFETCH = 3  # batches of files to decode in advance


def stream_batches(
    source: LabelledImages,
    target: UnlabelledImages,
    *,
    source_batch_size: int,
    target_batch_size: int,
    family: Family,
    strong: bool,
    seed: int,
    device: torch.device | str,
    start: int = 0,
    stop: int,
    balance_classes: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of steps `start` to `stop - 1`.

    Each domain is sampled epoch by epoch, independently of the other: every image appears once per
    epoch, in a new order. A batch may span two epochs, so batch sizes need not divide the number
    of images. Starting at step n yields the same batches as a run from step 0 has from step n.

    Args:
        source: the source domain.
        target: the target domain.
        source_batch_size: source images per batch.
        target_batch_size: target images per batch.
        family: augmentation family.
        strong: whether batches also contain strong views.
        seed: seed of order and views; at least 0.
        device: device of the batches.
        start: first step.
        stop: last step plus one.
        balance_classes: whether all classes are equally likely in the source's batches.

    Raises:
        ValueError: the domains differ in image size.
    """
    if source.images.size != target.images.size:
        raise ValueError(
            f"source images have {source.images.size} pixels per side and target images "
            f"{target.images.size}: load both with the same size"
        )
    device = torch.device(device)
    source_rows: Callable[[int], Tensor] = partial(
        rows_at, count=len(source), batch_size=source_batch_size, key=(seed, SOURCE_ORDER)
    )
    if balance_classes:
        source_rows = balanced_rows(source.labels, source_batch_size, (seed, SOURCE_ORDER))
    target_rows = partial(
        rows_at, count=len(target), batch_size=target_batch_size, key=(seed, TARGET_ORDER)
    )
    labels = source.labels.to(device)
    steps = range(start, stop)
    source_images = _fetch(source.images, map(source_rows, steps), device)
    target_images = _fetch(target.images, map(target_rows, steps), device)
    for step, plain_source, plain_target in zip(steps, source_images, target_images, strict=True):
        generator = torch.Generator(device).manual_seed(_mix(seed, VIEWS, step))
        weak = [_view(plain, family, generator) for plain in (plain_source, plain_target)]
        step_labels = labels[source_rows(step).to(device, non_blocking=True)]
        views = [strong_view(view, family, generator) for view in weak] if strong else [None, None]
        yield Batch(weak[0], step_labels, weak[1], *views)


def stream_target(
    target: UnlabelledImages,
    *,
    batch_size: int,
    family: Family,
    seed: int,
    device: torch.device | str,
    start: int = 0,
    stop: int,
) -> Iterator[TargetBatch]:
    """Yield batches of the target only, for steps `start` to `stop - 1`.

    Arguments and order of the images as in `stream_batches`.
    """
    device = torch.device(device)
    rows = partial(rows_at, count=len(target), batch_size=batch_size, key=(seed, TARGET_ORDER))
    steps = range(start, stop)
    images = _fetch(target.images, map(rows, steps), device)
    for step, plain in zip(steps, images, strict=True):
        generator = torch.Generator(device).manual_seed(_mix(seed, VIEWS, step))
        indices = rows(step).to(device, non_blocking=True)
        yield TargetBatch(_view(plain, family, generator), indices)


def iterate(
    images: Images, batch_size: int, device: torch.device | str, seed: int | None = None
) -> Iterator[Tensor]:
    """Yield all images once, without augmentation, as float32 batches (B, 3, S, S) in [0, 1].

    The order is that of `images`, or shuffled if there is a seed. Sizes of batches differ by one at
    most, because layers that normalise by the batch would treat a small last one differently. In
    place of images with features, these are yielded, (B, D).
    """
    count = len(images)
    order = torch.arange(count) if seed is None else shuffled_order(count, seed)
    rows = iter(torch.tensor_split(order, max(1, math.ceil(count / batch_size))))
    for batch in _fetch(images, rows, torch.device(device)):
        yield batch[:, 0] if _are_features(batch) else batch


def shuffled_order(count: int, seed: int) -> Tensor:
    """Return the order in which `iterate` yields `count` images for a seed: int64 (count,)."""
    return _permutation(count, seed, 0, 0)


def place_images(images: Images, device: torch.device | str) -> Images:
    """Move images to the device if they are in memory and take at most half of its free memory.

    `stream_batches` and `iterate` do this in every call; call it once before repeated calls.
    """
    device = torch.device(device)
    if not isinstance(images, TensorImages) or images.pixels.device.type == device.type:
        return images
    if device.type == "cuda" and images.pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return images
    return images.to(device)


def rows_at(step: int, count: int, batch_size: int, key: tuple[int, int]) -> Tensor:
    """Return the indices of a step's images in a domain of `count` images: int64 (batch_size,)."""
    positions = range(step * batch_size, (step + 1) * batch_size)
    epochs = range(positions[0] // count, positions[-1] // count + 1)
    order = torch.cat([_permutation(count, *key, epoch) for epoch in epochs])
    first = positions[0] - epochs[0] * count
    return order[first : first + batch_size]


@lru_cache(maxsize=8)
def _permutation(count: int, seed: int, stream: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(_mix(seed, stream, epoch))
    return torch.randperm(count, generator=generator)


def _mix(*parts: int) -> int:
    """Combine several numbers to one seed; similar numbers give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _view(plain: Tensor, family: Family, generator: torch.Generator) -> Tensor:
    """Draw a view of each image, or one of those whose features are known."""
    if _are_features(plain):
        return draw_view(plain, generator)
    return weak_view(plain, family, generator)


def _are_features(batch: Tensor) -> bool:
    return batch.ndim == 3  # (B, V, D) of `FeatureViews`


def _fetch(images: Images, rows: Iterator[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield float batches on the device; files are decoded in advance."""
    images = place_images(images, device)
    gather = partial(_gather, images, pin=device.type == "cuda")
    in_memory = isinstance(images, TensorImages | FeatureViews)
    batches = map(gather, rows) if in_memory else _prefetch(gather, rows)
    for batch in batches:
        yield to_float(batch.to(device, non_blocking=True))


def _gather(images: Images, rows: Tensor, pin: bool) -> Tensor:
    batch = images.gather(rows)
    return batch.pin_memory() if pin and batch.device.type == "cpu" else batch


def _prefetch(gather: Callable[[Tensor], Tensor], rows: Iterator[Tensor]) -> Iterator[Tensor]:
    """Map `gather` over rows in a thread, PREFETCH batches in advance."""
    with ThreadPoolExecutor(1, "prefetch") as thread:
        pending: deque[Future[Tensor]] = deque(
            thread.submit(gather, row) for row in islice(rows, PREFETCH)
        )
        while pending:
            batch = pending.popleft().result()
            pending.extend(thread.submit(gather, row) for row in islice(rows, 1))
            yield batch
