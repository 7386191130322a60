"""Doing what applies, a line each, and saying why the rest does not."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def attempt(what: str, do: Callable[[], T]) -> T | None:
    """Do something and say how long it took; None, and a line that says why, if it cannot be.

    Args:
        what: a few words for the line.
        do: raises ValueError where it does not apply.
    """
    started = time.perf_counter()
    try:
        done = do()
    except ValueError as error:
        print(f"{what}: left out: {' '.join(str(error).split())}", flush=True)
        return None
    print(f"{what}: {time.perf_counter() - started:.1f} s", flush=True)
    return done
