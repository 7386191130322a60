"""Streams of batches. A batch depends only on its step, so a resumed run sees the same batches."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice, repeat, tee
from operator import itemgetter
from typing import TypeVar

import torch
from torch import Tensor

from dacbn.batch import Batch, TargetBatch
from dacbn.datasets.drawing import draw_rows, mix, permutation, rows_at
from dacbn.datasets.features import FeatureViews, draw_view
from dacbn.datasets.images import Images, LabelledImages, TensorImages, UnlabelledImages
from dacbn.datasets.streams import ShardStream, StreamedBatch
from dacbn.datasets.transforms import Family, strong_view, to_float, weak_view

T = TypeVar("T")
# independent random numbers from one seed: of the first source, of the first target, of views, and
# of the other domains
SOURCE_ORDER, TARGET_ORDER, VIEWS, OTHERS = range(4)
PREFETCH = 3  # batches of files to decode in advance


def stream_batches(
    sources: Sequence[LabelledImages | ShardStream],
    targets: Sequence[UnlabelledImages | ShardStream],
    *,
    source_batch_size: int,
    target_batch_size: int,
    family: Family,
    strong: bool,
    seed: int,
    device: torch.device | str,
    start: int = 0,
    stop: int,
    balance: bool = True,
    merge_sources: bool = False,
    merge_targets: bool = False,
    balance_classes: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of steps `start` to `stop - 1`.

    Each domain is sampled epoch by epoch, independently of the others: every image appears once per
    epoch, in a new order. A batch may span two epochs, so batch sizes need not divide the number
    of images. Starting at step n yields the same batches as a run from step 0 has from step n.

    A stream is read in its own order. Beside other domains of its side it needs `balance`, since
    nobody knows how many images it has, and no source may be one with `balance_classes`.

    Args:
        sources: the source domains, at least one.
        targets: the target domains; without one, batches have no target images.
        source_batch_size: source images per batch, of all sources together.
        target_batch_size: target images per batch, of all targets together.
        family: augmentation family.
        strong: whether batches also contain strong views.
        seed: seed of order and views; at least 0.
        device: device of the batches.
        start: first step.
        stop: last step plus one.
        balance: see `draw_rows`.
        merge_sources: count all sources as one domain.
        merge_targets: count all targets as one domain.
        balance_classes: whether all classes are equally likely in the source's batches.

    Raises:
        ValueError: the domains differ in image size.
    """
    device, steps = torch.device(device), range(start, stop)
    _check_sizes([*sources, *targets])
    first = OTHERS + len(sources)
    source_keys, target_keys = (
        [(seed, stream) for stream in streams]
        for streams in (
            (SOURCE_ORDER, *range(OTHERS + 1, OTHERS + len(sources))),
            (TARGET_ORDER, *range(first + 1, first + len(targets))),
        )
    )
    labels = [each.labels for each in sources if not isinstance(each, ShardStream)]
    source_rows = draw_rows(
        list(map(_count, sources)),
        source_batch_size,
        source_keys,
        balance,
        labels if balance_classes else None,
    )
    target_rows = draw_rows(list(map(_count, targets)), target_batch_size, target_keys, balance)
    source_images = _fetch_domains(sources, map(source_rows, steps), source_keys, device)
    target_images = _fetch_domains(targets, map(target_rows, steps), target_keys, device)
    for step, (plain_source, step_labels), (plain_target, _) in zip(
        steps, source_images, target_images, strict=False
    ):
        assert plain_source is not None and step_labels is not None
        plain_target = plain_source[:0] if plain_target is None else plain_target
        generator = torch.Generator(device).manual_seed(mix(seed, VIEWS, step))
        weak = [_view(plain, family, generator) for plain in (plain_source, plain_target)]
        views = [_strong(view, family, generator) for view in weak] if strong else [None, None]
        yield Batch(
            *(weak[0], step_labels, weak[1], views[0], views[1]),
            () if merge_sources else tuple(map(len, source_rows(step))),
            () if merge_targets else tuple(map(len, target_rows(step))),
        )


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
        generator = torch.Generator(device).manual_seed(mix(seed, VIEWS, step))
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
    return permutation(count, seed, 0, 0)


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


def _check_sizes(domains: Sequence[LabelledImages | UnlabelledImages | ShardStream]) -> None:
    images = (each if isinstance(each, ShardStream) else each.images for each in domains)
    sizes = list(dict.fromkeys(each.size for each in images))
    if len(sizes) > 1:
        raise ValueError(
            f"source images have {sizes[0]} pixels per side and target images {sizes[1]}: load "
            "both with the same size"
        )


def _count(domain: LabelledImages | UnlabelledImages | ShardStream) -> int | None:
    return None if isinstance(domain, ShardStream) else len(domain)


def _view(plain: Tensor, family: Family, generator: torch.Generator) -> Tensor:
    """Draw a view of each image, or one of those whose features are known."""
    if not len(plain):
        return plain[:, 0] if _are_features(plain) else plain  # without a target
    if _are_features(plain):
        return draw_view(plain, generator)
    return weak_view(plain, family, generator)


def _strong(weak: Tensor, family: Family, generator: torch.Generator) -> Tensor:
    return strong_view(weak, family, generator) if len(weak) else weak


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


def _fetch_domains(
    domains: Sequence[LabelledImages | UnlabelledImages | ShardStream],
    rows: Iterator[list[Tensor]],
    keys: Sequence[tuple[int, int]],
    device: torch.device,
) -> Iterator[tuple[Tensor | None, Tensor | None]]:
    """Yield images and labels of several domains, one after the other; None without any."""
    each = [
        _fetch_domain(domain, map(itemgetter(place), own), mix(*keys[place]), device)
        for place, (domain, own) in enumerate(zip(domains, tee(rows, len(domains)), strict=True))
    ]
    if not each:
        yield from repeat((None, None))
    for parts in zip(*each, strict=True):
        images, labels = zip(*parts, strict=True)
        yield _join(images), None if labels[0] is None else _join(labels)


def _fetch_domain(
    domain: LabelledImages | UnlabelledImages | ShardStream,
    rows: Iterator[Tensor],
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield images and labels of a domain; a stream has another order for each seed."""
    if isinstance(domain, ShardStream):
        gather = partial(_read, domain.reader(seed), pin=device.type == "cuda")
        for pixels, labels in _prefetch(gather, rows):
            known = None if labels is None else labels.to(device, non_blocking=True)
            yield to_float(pixels.to(device, non_blocking=True)), known
        return
    rows, own = tee(rows)
    known = domain.labels.to(device) if isinstance(domain, LabelledImages) else None
    for images, chosen in zip(_fetch(domain.images, rows, device), own, strict=True):
        yield images, None if known is None else known[chosen.to(device, non_blocking=True)]


def _join(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _gather(images: Images, rows: Tensor, pin: bool) -> Tensor:
    batch = images.gather(rows)
    return batch.pin_memory() if pin and batch.device.type == "cpu" else batch


def _read(read: Callable[[Tensor], StreamedBatch], rows: Tensor, pin: bool) -> StreamedBatch:
    pixels, labels = read(rows)
    if pin:
        pixels, labels = pixels.pin_memory(), None if labels is None else labels.pin_memory()
    return StreamedBatch(pixels, labels)


def _prefetch(gather: Callable[[Tensor], T], rows: Iterator[Tensor]) -> Iterator[T]:
    """Map `gather` over rows in a thread, PREFETCH batches in advance."""
    with ThreadPoolExecutor(1, "prefetch") as thread:
        pending: deque[Future[T]] = deque(
            thread.submit(gather, row) for row in islice(rows, PREFETCH)
        )
        while pending:
            batch = pending.popleft().result()
            pending.extend(thread.submit(gather, row) for row in islice(rows, 1))
            yield batch
