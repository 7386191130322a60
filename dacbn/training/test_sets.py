"""The labelled images that a training scores its network on."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dacbn.datasets import (
    LabelledImages,
    LabelledLike,
    is_flat_folder,
    is_stream,
    log_class_set,
    to_labelled,
)
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import name_places, name_unseen, num_sources, place_ids
from dacbn.training.metrics import SOURCE_TEST, TARGET_TEST
from dacbn.training.right_answers import Right, digest_test, name_test

LOG = logging.getLogger(__name__)


class TestSet(NamedTuple):
    """Labelled images to score on.

    Attributes:
        kind: "source_test" or "target_test".
        domain: name of the domain.
        cluster_ids: ids of the domains whose statistics answer, on average: its own, or those of
            all sources if it was never trained on.
        images: the images, with labels.
        digests: of them, by names in the file of right answers.
    """

    kind: str
    domain: str
    cluster_ids: tuple[int, ...]
    images: LabelledImages
    digests: Right


def test_places(places: Sequence[str], columns: Sequence[str] = ()) -> list[str | None] | None:
    """Return where the test split of each domain is: in its own place; None if none has one.

    A stream has none, and a flat folder has no labels.

    Args:
        places: datasets' names, folders, tables and streams.
        columns: of the tables, as in `load_labelled`.
    """
    for stream in filter(is_stream, places):
        LOG.info("%s is a stream, which has no test split: it is not scored", stream)
    flat = [place for place in places if is_flat_folder(place, columns)]
    found = [None if is_stream(place) or place in flat else place for place in places]
    if not any(found):
        return None
    for place in flat:
        LOG.info("%s is a flat folder without labels: it is not scored", place)
    return found


def read_test_sets(
    config: TrainConfig,
    size: int,
    source_tests: Sequence[LabelledLike | None],
    target_tests: Sequence[LabelledLike | None],
    classes: tuple[str, ...],
    **options: Any,
) -> tuple[TestSet, ...]:
    """Load the test sets.

    Args:
        config: the settings.
        size: pixels per side.
        source_tests: a test set for each source, or none; None where one has none.
        target_tests: the same of targets.
        classes: the names of the source's classes.
        options: other arguments of `to_labelled`.

    Raises:
        ValueError: one cannot be read, has other classes than the sources and may not, or there
            are not as many as domains.
    """
    tests = []
    for kind, name, cluster_ids, data in _tests(config, source_tests, target_tests):
        if data is None:
            continue
        unknown = config.unknown and kind == TARGET_TEST
        images = to_labelled(data, size, False, classes, unknown, **options)
        log_class_set(f"{kind.replace('_', ' ')} {name}", images, classes)
        digests = digest_test(name_test(kind, name), images)
        tests.append(TestSet(kind, name, cluster_ids, images, digests))
    return tuple(tests)


def _tests(
    config: TrainConfig,
    source_tests: Sequence[LabelledLike | None],
    target_tests: Sequence[LabelledLike | None],
) -> Iterator[tuple[str, str, tuple[int, ...], LabelledLike | None]]:
    """Yield kind, name of the domain, ids whose statistics answer, and data of each test set."""
    names, ids, count = name_places(config), place_ids(config), len(config.source)
    for kind, data, places in (
        (SOURCE_TEST, source_tests, config.source),
        (TARGET_TEST, target_tests, config.target or config.unseen),
    ):
        if data and len(data) != len(places):
            raise ValueError(
                f"{len(data)} test sets for {len(places)} domains: give {spell(kind)} as many, in "
                "the same order"
            )
    for place, each in enumerate(source_tests):
        yield SOURCE_TEST, names[place], (ids[place],), each
    for place, each in enumerate(target_tests):
        if config.target:
            yield TARGET_TEST, names[count + place], (ids[count + place],), each
        else:
            yield TARGET_TEST, name_unseen(config)[place], tuple(range(num_sources(config))), each
