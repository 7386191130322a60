"""Keeping freed memory in the process between the steps of a training on the CPU."""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # what mallopt calls them, in glibc's malloc.h
LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no larger one
BY_HAND = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed, for the whole process; return whether it will.

    A step frees its activations and the next one asks for as many again. glibc hands large blocks
    back to the system in between, which gives them out anew page by page, each cleared first: up
    to a quarter of a step on small images. Elsewhere than on glibc nothing is changed, nor where a
    variable of the environment (`BY_HAND`) says how it should allocate.
    """
    if sys.platform != "linux" or any(name in os.environ for name in BY_HAND):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(TRIM_THRESHOLD, 2**31 - 1)
    return bool(kept)
