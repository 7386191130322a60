"""Fetch the images of batches: from memory, from files that are decoded in advance, or streams."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice, repeat, tee
from operator import itemgetter
from typing import TypeVar

import torch
from torch import Tensor

from dacbn.datasets.drawing import mix
from dacbn.datasets.features import FeatureViews
from dacbn.datasets.images import Images, LabelledImages, TensorImages, UnlabelledImages
from dacbn.datasets.streams import ShardStream, StreamedBatch
from dacbn.datasets.transforms import to_float
from dacbn.processes import own_rows

T = TypeVar("T")
PREFETCH = 3  # batches of files to decode in advance


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


def _own(rows: list[Tensor]) -> list[slice]:
    """Return which rows of each domain are those of this process, in a part of a batch."""
    counts = list(map(len, rows))
    start, stop = own_rows(sum(counts))
    firsts = [sum(counts[:number]) for number in range(len(counts))]
    return [slice(max(0, start - first), max(0, stop - first)) for first in firsts]


def are_features(batch: Tensor) -> bool:
    """Whether a batch holds features of views, (B, V, D), in place of images."""
    return batch.ndim == 3


def fetch(images: Images, rows: Iterator[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield float batches on the device; files are decoded in advance."""
    images = place_images(images, device)
    gather = partial(_gather, images, pin=device.type == "cuda")
    in_memory = isinstance(images, TensorImages | FeatureViews)
    batches = map(gather, rows) if in_memory else prefetch(gather, rows)
    for batch in batches:
        yield to_float(batch.to(device, non_blocking=True))


def fetch_domains(
    domains: Sequence[LabelledImages | UnlabelledImages | ShardStream],
    rows: Iterator[list[Tensor]],
    keys: Sequence[tuple[int, int]],
    device: torch.device,
) -> Iterator[tuple[Tensor | None, Tensor | None]]:
    """Yield images and labels of several domains, one after the other; None without any.

    The images are those of the rows of this process, the labels those of all rows.
    """
    placed = (list(zip(each, _own(each), strict=True)) for each in rows)
    each = [
        _fetch_domain(domain, map(itemgetter(place), own), mix(*keys[place]), device)
        for place, (domain, own) in enumerate(zip(domains, tee(placed, len(domains)), strict=True))
    ]
    if not each:
        yield from repeat((None, None))
    for parts in zip(*each, strict=True):
        images, labels = zip(*parts, strict=True)
        yield _join(images), None if labels[0] is None else _join(labels)


def _fetch_domain(
    domain: LabelledImages | UnlabelledImages | ShardStream,
    placed: Iterator[tuple[Tensor, slice]],
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield images and labels of a domain; a stream has another order for each seed.

    A stream is read and decoded by every process: labels come with the images.
    """
    placed, again = tee(placed)
    if isinstance(domain, ShardStream):
        gather = partial(_read, domain.reader(seed), pin=device.type == "cuda")
        read = prefetch(gather, (rows for rows, _ in placed))
        for (pixels, labels), (_, own) in zip(read, again, strict=True):
            known = None if labels is None else labels.to(device, non_blocking=True)
            yield to_float(pixels[own].to(device, non_blocking=True)), known
        return
    known = domain.labels.to(device) if isinstance(domain, LabelledImages) else None
    fetched = fetch(domain.images, (rows[own] for rows, own in placed), device)
    for images, (rows, _) in zip(fetched, again, strict=True):
        yield images, None if known is None else known[rows.to(device, non_blocking=True)]


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


def prefetch(gather: Callable[[Tensor], T], rows: Iterator[Tensor]) -> Iterator[T]:
    """Map `gather` over rows in a thread, PREFETCH batches in advance."""
    with ThreadPoolExecutor(1, "prefetch") as thread:
        pending: deque[Future[T]] = deque(
            thread.submit(gather, row) for row in islice(rows, PREFETCH)
        )
        while pending:
            batch = pending.popleft().result()
            pending.extend(thread.submit(gather, row) for row in islice(rows, 1))
            yield batch
