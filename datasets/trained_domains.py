"""The domains that are trained on: images that can be fetched by index, or a stream of shards."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import torch

from dacbn.datasets.class_sets import match_classes
from dacbn.datasets.fetching import place_images
from dacbn.datasets.images import LabelledImages, UnlabelledImages
from dacbn.datasets.inputs import LabelledLike, UnlabelledLike, to_labelled, to_unlabelled
from dacbn.datasets.streams import ShardStream, is_stream, open_stream

LOG = logging.getLogger(__name__)
TrainedSource: TypeAlias = LabelledImages | ShardStream
TrainedTarget: TypeAlias = UnlabelledImages | ShardStream
Listed = TypeVar("Listed", LabelledImages, UnlabelledImages)


def to_source(data: LabelledLike, size: int, **options: Any) -> TrainedSource:
    """Convert as `to_labelled` does, to be trained on; addresses of shards become a stream.

    Raises:
        ValueError: as of `to_labelled` and `open_stream`.
    """
    if not is_stream(data):
        return to_labelled(data, size, train=True, **options)
    stream = _open(data, size, True, **options)
    if stream.classes is not None and len(stream.classes) == 1:
        raise ValueError(f"the source has only one class, {stream.classes[0]!r}: add another")
    return stream


def to_target(data: UnlabelledLike, size: int, **options: Any) -> TrainedTarget:
    """Convert as `to_unlabelled` does, to be trained on; addresses of shards become a stream.

    Raises:
        ValueError: as of `to_unlabelled` and `open_stream`.
    """
    if not is_stream(data):
        return to_unlabelled(data, size, train=True, **options)
    return _open(data, size, False, **options)


def order_classes(domain: TrainedSource, classes: Sequence[str]) -> TrainedSource:
    """Return a domain with its labels as positions in `classes`, which are its own.

    Raises:
        ValueError: it has others.
    """
    if isinstance(domain, ShardStream):
        return dataclasses.replace(domain, classes=tuple(classes))
    return match_classes(domain, classes)


def place_domain(domain: Listed | ShardStream, device: torch.device) -> Listed | ShardStream:
    """Return a domain with its images on the device, as `place_images` does."""
    if isinstance(domain, ShardStream):
        return domain
    return dataclasses.replace(domain, images=place_images(domain.images, device))


def listed(domains: Sequence[Listed | ShardStream]) -> list[Listed]:
    """Return the domains without the streams."""
    return [domain for domain in domains if not isinstance(domain, ShardStream)]


def _open(
    pattern: str, size: int, with_labels: bool, *, fit: Any, on_unreadable: Any, **_: Any
) -> ShardStream:
    stream = open_stream(pattern, size, with_labels, fit, on_unreadable)
    classes = "" if stream.classes is None else f", {len(stream.classes)} classes"
    LOG.info("%s: a stream of %d shards%s, to train on", pattern, len(stream.shards), classes)
    return stream
