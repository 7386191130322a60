"""Compute what may not apply, and write one line about it: how long it took, or why it failed."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WriteLine = Callable[[str], None]


def try_analysis(name: str, compute: Callable[[], T], write: WriteLine) -> T | None:
    """Compute something that may not apply.

    Args:
        name: what the line begins with.
        compute: raises ValueError with the reason where it does not apply.
        write: called with the line.

    Returns:
        the result, or None where it does not apply.
    """
    started = time.perf_counter()
    try:
        result = compute()
    except ValueError as error:
        write(f"{name}: left out: {' '.join(str(error).split())}")
        return None
    write(f"{name}: {time.perf_counter() - started:.1f} s")
    return result
