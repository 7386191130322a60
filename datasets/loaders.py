"""Streams of batches that depend on the step number alone, so that a resumed run sees the same."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from dacbn.batch import Batch, TargetBatch
from dacbn.datasets.images import Images, LabelledImages, TensorImages, UnlabelledImages
from dacbn.datasets.transforms import Family, strong_view, to_float, weak_view

SOURCE_ORDER, TARGET_ORDER, VIEWS = range(3)  # one stream of random numbers each
AHEAD = 3  # batches of files being decoded while one is trained on


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
) -> Iterator[Batch]:
    """Yield the batches of steps `start` to `stop - 1`.

    Each domain runs through its own endless row of epochs, in each of which every sample comes
    once; a batch may reach into the next epoch, so sizes need not divide. A batch is a function of
    its step and the arguments: starting at step n gives what a run from step 0 sees at step n.

    Args:
        source: images and labels.
        target: images.
        source_batch_size: source images in a batch.
        target_batch_size: target images in a batch.
        family: which augmentations.
        strong: whether batches carry strong views too.
        seed: of order and views; not negative.
        device: where the batches shall be.
        start: first step.
        stop: step to stop before.

    Raises:
        ValueError: the domains differ in image size.
    """
    if source.images.size != target.images.size:
        raise ValueError(
            f"source images have {source.images.size} pixels per side and target images "
            f"{target.images.size}: load both with the same size"
        )
    device = torch.device(device)
    source_rows = partial(
        rows_at, count=len(source), batch_size=source_batch_size, key=(seed, SOURCE_ORDER)
    )
    target_rows = partial(
        rows_at, count=len(target), batch_size=target_batch_size, key=(seed, TARGET_ORDER)
    )
    labels = source.labels.to(device)
    steps = range(start, stop)
    source_images = _fetch(source.images, map(source_rows, steps), device)
    target_images = _fetch(target.images, map(target_rows, steps), device)
    for step, plain_source, plain_target in zip(steps, source_images, target_images, strict=True):
        generator = torch.Generator(device).manual_seed(_mix(seed, VIEWS, step))
        weak = [weak_view(plain, family, generator) for plain in (plain_source, plain_target)]
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
    """Yield batches of the target alone, for steps `start` to `stop - 1`.

    Images come in the order in which `stream_batches` gives them; the arguments are its.
    """
    device = torch.device(device)
    rows = partial(rows_at, count=len(target), batch_size=batch_size, key=(seed, TARGET_ORDER))
    steps = range(start, stop)
    images = _fetch(target.images, map(rows, steps), device)
    for step, plain in zip(steps, images, strict=True):
        generator = torch.Generator(device).manual_seed(_mix(seed, VIEWS, step))
        indices = rows(step).to(device, non_blocking=True)
        yield TargetBatch(weak_view(plain, family, generator), indices)


def iterate(
    images: Images, batch_size: int, device: torch.device | str, seed: int | None = None
) -> Iterator[Tensor]:
    """Yield all images, unchanged, as float batches; the last may be smaller.

    They come in order, or shuffled by a seed.
    """
    count = len(images)
    order = torch.arange(count) if seed is None else shuffled_order(count, seed)
    rows = iter(torch.split(order, batch_size))
    yield from _fetch(images, rows, torch.device(device))


def shuffled_order(count: int, seed: int) -> Tensor:
    """Return in which order `iterate` gives `count` images with a seed: int64 (count,)."""
    return _permutation(count, seed, 0, 0)


def place_images(images: Images, device: torch.device | str) -> Images:
    """Move images to the device if they are in memory and take at most half of what is free there.

    `stream_batches` and `iterate` do so on every call; a caller who calls often places them once.
    """
    device = torch.device(device)
    if not isinstance(images, TensorImages) or images.pixels.device.type == device.type:
        return images
    if device.type == "cuda" and images.pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return images
    return images.to(device)


def rows_at(step: int, count: int, batch_size: int, key: tuple[int, int]) -> Tensor:
    """Return which samples a domain of `count` gives at a step: int64 (batch_size,)."""
    places = range(step * batch_size, (step + 1) * batch_size)
    epochs = range(places[0] // count, places[-1] // count + 1)
    row = torch.cat([_permutation(count, *key, epoch) for epoch in epochs])
    first = places[0] - epochs[0] * count
    return row[first : first + batch_size]


@lru_cache(maxsize=8)
def _permutation(count: int, seed: int, domain: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(_mix(seed, domain, epoch))
    return torch.randperm(count, generator=generator)


def _mix(*parts: int) -> int:
    """Make one seed of several numbers; neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _fetch(images: Images, rows: Iterator[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield float batches on the device; files are decoded ahead of their use."""
    images = place_images(images, device)
    gather = partial(_gather, images, pin=device.type == "cuda")
    batches = map(gather, rows) if isinstance(images, TensorImages) else _ahead(gather, rows)
    for batch in batches:
        yield to_float(batch.to(device, non_blocking=True))


def _gather(images: Images, rows: Tensor, pin: bool) -> Tensor:
    batch = images.gather(rows)
    return batch.pin_memory() if pin and batch.device.type == "cpu" else batch


def _ahead(gather: Callable[[Tensor], Tensor], rows: Iterator[Tensor]) -> Iterator[Tensor]:
    """Map `gather` over rows, working AHEAD batches ahead in a thread."""
    with ThreadPoolExecutor(1, "prefetch") as thread:
        pending: deque[Future[Tensor]] = deque(
            thread.submit(gather, row) for row in islice(rows, AHEAD)
        )
        while pending:
            batch = pending.popleft().result()
            pending.extend(thread.submit(gather, row) for row in islice(rows, 1))
            yield batch
