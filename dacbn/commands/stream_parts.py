"""What streams consist of: parts, whose images each seed draws."""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from dacbn.progress import LOGGER
from dacbn.spelling import spell

if TYPE_CHECKING:
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


def warn_of_shared_images(adapter: "DomainAdapter", settings: StreamSettings) -> None:
    """Say where several seeds have much the same images, although each draws its own."""
    for place in dict.fromkeys(settings.target):
        there = len(adapter.labelled_of(place))
        if there < 2 * settings.images:
            LOGGER.warning(
                f"{place} has {there} images: seeds share most of them, so intervals over seeds "
                f"are mostly of orders; {spell('images', max(1, there // 2))} gives each others"
            )


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
    from numpy.random import default_rng

    from dacbn.datasets import LabelledImages, TensorImages
    from dacbn.datasets.corruptions import corrupted
    from dacbn.training.validator_inputs import ImageSubset

    parts: dict[str, LabelledImages] = {}
    places = list(dict.fromkeys(settings.target))
    names = [Path(place).name for place in places]
    corrupt = itertools.product(settings.strengths, settings.corruptions)
    kinds: list[tuple[int, str] | None] = [*corrupt] or [None]
    held = 0
    for place in places:
        whole = adapter.labelled_of(place)
        name = Path(place).name if names.count(Path(place).name) == 1 else place
        for kind in kinds:
            drawn = default_rng([seed, len(parts)]).permutation(len(whole))[: settings.images]
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
