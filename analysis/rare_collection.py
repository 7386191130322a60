"""Collect garbage rarely: figures and libraries have many parts, and few are thrown away."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 100_000  # before a collection; those after Python's 700 take a tenth of a report


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Collect garbage rarely in a `with` block."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)


def collect_rarely() -> None:
    """Collect garbage rarely from now on, unless it is never collected."""
    first, *others = gc.get_threshold()
    if first:
        gc.set_threshold(max(first, NEW_OBJECTS), *others)
