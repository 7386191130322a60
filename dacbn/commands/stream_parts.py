"""What streams consist of: parts, whose images each seed draws."""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from dacbn.progress import LOGGER
from dacbn.spelling import spell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dacbn.adapter import DomainAdapter
    from dacbn.datasets import LabelledImages

HELD = 2**30  # bytes of images that are held in memory


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """What the streams consist of; a resumed benchmark has the same."""

    target: tuple[str, ...]
    """Labelled domains that follow one another, or come at once: names or folders."""
    corruptions: tuple[str, ...] = ()
    """Corruptions of each target, each a part of the stream; none leaves the targets as they are.
    They are not those of CIFAR-10-C."""
    strengths: tuple[int, ...] = (3, 5)
    """Strengths of the corruptions, from 1 to 5."""
    images: int = 2000
    """Images of each part, at most."""
    reset: bool | None = None
    """Return to the source before each part; by default, with the protocols iid and single."""
    concentration: float = 0.1
    """Of the protocol correlated: the smaller, the longer labels stay the same."""
    domain: str | None = None
    """The domain of the run whose statistics answer, for norms that know the domains."""


def count_images(adapter: "DomainAdapter", settings: StreamSettings) -> dict[str, int]:
    """Count the labelled images of each target."""
    return {place: len(adapter.labelled_of(place)) for place in dict.fromkeys(settings.target)}


def shared_images(there: dict[str, int], settings: StreamSettings) -> dict[str, int]:
    """Say where several seeds have much the same images, although each draws its own.

    Args:
        there: of `count_images`.
        settings: what the streams consist of.

    Returns:
        how many images each such target has.
    """
    shared = {place: count for place, count in there.items() if count < 2 * settings.images}
    for place, count in shared.items():
        LOGGER.warning(
            f"{place} has {count} images: seeds share most of them, so intervals over seeds "
            f"are mostly of orders, and those by images are shown where they are wider; with "
            f"{spell('images', max(1, count // 2))} seeds share at most half"
        )
    return shared


def different_images(there: dict[str, int], settings: StreamSettings, seed: int) -> int:
    """Count the different images of a stream, whose corruptions may draw an image several times.

    Args:
        there: of `count_images`.
        settings: what the stream consists of.
        seed: of the images.
    """
    kinds, different = len(_kinds(settings)), 0
    for place, count in enumerate(there.values()):
        parts = range(place * kinds, (place + 1) * kinds)
        drawn = [_draw(count, settings, seed, part).tolist() for part in parts]
        different += len({*itertools.chain(*drawn)})
    return different


def read_parts(
    adapter: "DomainAdapter", settings: StreamSettings, seed: int
) -> "dict[str, LabelledImages]":
    """Draw the images of each part of a stream, and read them.

    Args:
        adapter: of the run.
        settings: what the stream consists of.
        seed: of the images, of each part others, and of their corruption.

    Returns:
        the parts by name. What exceeds `HELD` bytes is read, and corrupted, whenever it is fetched.
    """
    import torch

    from dacbn.datasets import LabelledImages, TensorImages
    from dacbn.datasets.corruptions import corrupted
    from dacbn.training.validator_inputs import ImageSubset

    parts: dict[str, LabelledImages] = {}
    places = list(dict.fromkeys(settings.target))
    kinds = _kinds(settings)
    held = 0
    for place, name in zip(places, _names(places), strict=True):
        whole = adapter.labelled_of(place)
        for kind in kinds:
            drawn = _draw(len(whole), settings, seed, len(parts))
            rows = torch.from_numpy(drawn).sort().values
            images = ImageSubset(whole.images, rows)
            part, called = LabelledImages(images, whole.labels[rows], whole.classes), name
            if kind is not None:
                strength, corruption = kind
                part = corrupted(part, corruption, strength, seed)
                called = f"{corruption} {strength}"
                called = called if len(places) == 1 else f"{name}, {called}"
            held += 3 * images.size**2 * len(images)
            if held <= HELD:
                pixels = part.images.gather(torch.arange(len(part))).cpu()
                part = dataclasses.replace(part, images=TensorImages(pixels))
            parts[called] = part
    return parts


def _names(places: list[str]) -> list[str]:
    """Name each target by the end of its path, as long as it takes to tell it from the others."""
    from dacbn.datasets import datasets

    names = [Path(place).name for place in places]
    whole = [[place] if place in datasets else Path(place).absolute().parts for place in places]
    for length in range(2, 1 + max(map(len, whole))):
        again = {name for name in names if names.count(name) > 1}
        ends = ["/".join(each[-length:]) for each in whole]
        names = [end if name in again else name for name, end in zip(names, ends, strict=True)]
    return names


def _kinds(settings: StreamSettings) -> list[tuple[int, str] | None]:
    """List the strengths and corruptions that a target comes with, or that it comes as it is."""
    pairs = itertools.product(settings.strengths, settings.corruptions)
    return [*dict.fromkeys(pairs)] or [None]


def _draw(count: int, settings: StreamSettings, seed: int, part: int) -> "NDArray[np.int64]":
    """Draw the images of a part of the stream, given by its place."""
    from numpy.random import default_rng

    return default_rng([seed, part]).permutation(count)[: settings.images]
