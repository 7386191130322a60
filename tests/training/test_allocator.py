"""Freed memory stays in the process: what is asked for again costs no page faults."""

import os
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from dacbn.training.allocator import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):  # 3 x 12 MiB, all of them free again at the end of a turn
        blocks = [torch.ones(3 << 20) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

page_faults()
before = page_faults()
kept = keep_freed_memory()
page_faults()
print(before, int(kept), page_faults())
"""


def count(**environment: str) -> tuple[int, int, int]:
    """Count the page faults before and after, in a process of its own."""
    command = [sys.executable, "-c", COUNT]
    run = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    before, kept, after = map(int, run.stdout.split())
    return before, kept, after


def is_glibc() -> bool:
    return sys.platform == "linux" and "glibc" in os.confstr("CS_GNU_LIBC_VERSION")


only_glibc = pytest.mark.skipif(not is_glibc(), reason="only glibc is told what to keep")


@only_glibc
def test_freed_memory_is_used_again_without_page_faults() -> None:
    before, kept, after = count()
    assert kept
    assert after < before / 10


@only_glibc
def test_the_environment_has_the_last_word() -> None:
    before, kept, after = count(MALLOC_TRIM_THRESHOLD_="131072")
    assert not kept
    assert after > before / 2
