"""Run a computation that may not apply; write its duration, or the reason for leaving it out."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WriteLine = Callable[[str], None]


def try_analysis(name: str, compute: Callable[[], T], write: WriteLine) -> T | None:
    """Run a computation that may not apply.

    Args:
        name: first words of the line.
        compute: the computation; raises ValueError with the reason if it does not apply.
        write: called with the line.

    Returns:
        the result, or None if it does not apply.
    """
    started = time.perf_counter()
    try:
        result = compute()
    except ValueError as error:
        write(f"{name}: left out: {' '.join(str(error).split())}")
        return None
    write(f"{name}: {time.perf_counter() - started:.1f} s")
    return result
