"""Streams of batches. A batch depends only on its step, so a resumed run sees the same batches."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from dacbn.batch import Batch, TargetBatch
from dacbn.datasets.drawing import draw_rows, mix, permutation, rows_at
from dacbn.datasets.features import draw_view
from dacbn.datasets.fetching import are_features, fetch, fetch_domains
from dacbn.datasets.images import Images, LabelledImages, UnlabelledImages
from dacbn.datasets.streams import ShardStream
from dacbn.datasets.transforms import Family, strong_view, weak_view
from dacbn.processes import own_rows

# independent random numbers from one seed: of the first source, of the first target, of views, and
# of the other domains
SOURCE_ORDER, TARGET_ORDER, VIEWS, OTHERS = range(4)


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
    source_images = fetch_domains(sources, map(source_rows, steps), source_keys, device)
    target_images = fetch_domains(targets, map(target_rows, steps), target_keys, device)
    for step, (plain_source, step_labels), (plain_target, _) in zip(
        steps, source_images, target_images, strict=False
    ):
        assert plain_source is not None and step_labels is not None
        plain_target = plain_source[:0] if plain_target is None else plain_target
        generator = torch.Generator(device).manual_seed(mix(seed, VIEWS, step))
        rows, others = source_rows(step), target_rows(step)
        counts = [sum(map(len, each)) for each in (rows, others)]
        plain = zip((plain_source, plain_target), counts, strict=True)
        weak = [_view(own, family, generator, count) for own, count in plain]
        views: list[Tensor | None] = [None, None]
        if strong:
            views = [
                _whole(_strong(view, family, generator, count), count)
                for view, count in zip(weak, counts, strict=True)
            ]
        source, target = map(_whole, weak, counts)
        yield Batch(
            *(source, step_labels, target, views[0], views[1]),
            (counts[0],) if merge_sources else tuple(map(len, rows)),
            (counts[1],) if merge_targets else tuple(map(len, others)),
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
    start_row, stop_row = own_rows(batch_size)
    images = fetch(target.images, (rows(step)[start_row:stop_row] for step in steps), device)
    for step, plain in zip(steps, images, strict=True):
        generator = torch.Generator(device).manual_seed(mix(seed, VIEWS, step))
        indices = rows(step).to(device, non_blocking=True)
        view = _view(plain, family, generator, batch_size)
        yield TargetBatch(_whole(view, batch_size), indices)


def iterate(
    images: Images,
    batch_size: int,
    device: torch.device | str,
    seed: int | None = None,
    turns: slice | None = None,
) -> Iterator[Tensor]:
    """Yield all images once, without augmentation, as float32 batches (B, 3, S, S) in [0, 1].

    The order is that of `images`, or shuffled if there is a seed. Sizes of batches differ by one at
    most, because layers that normalise by the batch would treat a small last one differently. In
    place of images with features, these are yielded, (B, D).

    `turns` selects the batches that are yielded; by default all are.
    """
    count = len(images)
    order = torch.arange(count) if seed is None else shuffled_order(count, seed)
    parts = torch.tensor_split(order, max(1, math.ceil(count / batch_size)))
    rows = iter(parts if turns is None else parts[turns])
    for batch in fetch(images, rows, torch.device(device)):
        yield batch[:, 0] if are_features(batch) else batch


def shuffled_order(count: int, seed: int) -> Tensor:
    """Return the order in which `iterate` yields `count` images for a seed: int64 (count,)."""
    return permutation(count, seed, 0, 0)


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


def _whole(own: Tensor, count: int) -> Tensor:
    """Put the rows of this process where they belong among `count`; nothing reads the others."""
    if len(own) == count:
        return own
    start, stop = own_rows(count)
    whole = own.new_zeros(count, *own.shape[1:])
    whole[start:stop] = own
    return whole


def _view(plain: Tensor, family: Family, generator: torch.Generator, count: int) -> Tensor:
    """Draw a view of each image, or one of those whose features are known.

    They are those of this process, in a part of `count` images.
    """
    if not count:
        return plain[:, 0] if are_features(plain) else plain  # without a target
    place = own_rows(count)[0], count
    if are_features(plain):
        return draw_view(plain, generator, place)
    return weak_view(plain, family, generator, place)


def _strong(weak: Tensor, family: Family, generator: torch.Generator, count: int) -> Tensor:
    if not count:
        return weak
    return strong_view(weak, family, generator, (own_rows(count)[0], count))
