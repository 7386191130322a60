"""The scores that a training has recorded, with the number of images of each."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dacbn.datasets import to_labelled
from dacbn.export.published_settings import published_name
from dacbn.training import RunInfo, TrainConfig, name_places, name_unseen
from dacbn.training.domains import reading_options
from dacbn.training.metrics import OF_DOMAIN, SOURCE_TEST, TARGET_TEST
from dacbn.training.run_info import IN_MEMORY

WHOLE = 1e-6  # how near accuracy times number of images is to a whole number


class Score(NamedTuple):
    """The accuracy on the test images of a domain.

    Attributes:
        role: "source", "target" or "unseen".
        domain: its name.
        accuracy: over all images.
        class_accuracy: its mean over the classes.
        num_images: how many; None if the images are not here.
    """

    role: str
    domain: str
    accuracy: float
    class_accuracy: float
    num_images: int | None


def recorded_scores(info: RunInfo, records: Sequence[dict[str, Any]]) -> list[Score]:
    """Return the scores of the last evaluation in the records; none without one."""
    tests = (f"{SOURCE_TEST}_accuracy", f"{TARGET_TEST}_accuracy")
    rows = [row for row in records if any(key.startswith(tests) for key in row)]
    if not rows:
        return []
    row, scores = rows[-1], []
    for kind, role, name, place, alone in _tested(info.config):
        suffix = "" if alone else f"{OF_DOMAIN}{name}"
        accuracy, mean = (row.get(f"{kind}_{of}accuracy{suffix}") for of in ("", "class_"))
        if accuracy is not None and mean is not None:
            count = _count(info, place, accuracy)
            scores.append(Score(role, published_name(name), accuracy, mean, count))
    return scores


def _tested(config: TrainConfig) -> Iterator[tuple[str, str, str, str, bool]]:
    """Yield kind of score, role, name, place, and whether no other domain has the role."""
    names, count = name_places(config), len(config.source)
    for kind, role, places, called in (
        (SOURCE_TEST, "source", config.source, names[:count]),
        (TARGET_TEST, "target", config.target, names[count:]),
        (TARGET_TEST, "unseen", config.unseen, name_unseen(config)),
    ):
        for place, name in zip(places, called, strict=True):
            yield kind, role, name, place, len(places) == 1


def _count(info: RunInfo, place: str, accuracy: float) -> int | None:
    """Count the test images of a domain, as `evaluate` takes them.

    The count belongs to the accuracy only if that is a share of it.
    """
    if place == IN_MEMORY:
        return None
    options = {**reading_options(info.config), "download": False, "trained_on": info.trained_on}
    known: tuple[Any, ...] = (info.classes, info.config.unknown)
    try:
        count = len(to_labelled(place, info.image_size, False, *known, **options))
    except (OSError, ValueError):
        return None
    right = accuracy * count
    return count if abs(right - round(right)) < WHOLE * count else None
