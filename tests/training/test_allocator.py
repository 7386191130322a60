"""Freed memory stays in the process: what is asked for again costs no page faults."""

import os
import platform
import subprocess
import sys

import pytest

from dacbn.training.allocator import USER_SETTINGS

COUNT = """
import resource, torch
from dacbn.training.allocator import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):  # 3 x 12 MiB, all of them free again at the end of a turn
        blocks = [torch.ones(3 << 20) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory()
page_faults()
print(int(kept), page_faults())
"""


def count(**environment: str) -> tuple[int, int]:
    """Count page faults in a process of its own; say whether memory was kept."""
    command = [sys.executable, "-c", COUNT]
    own = {name: value for name, value in os.environ.items() if name not in USER_SETTINGS}
    run = subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True)
    kept, page_faults = map(int, run.stdout.split())
    return kept, page_faults


only_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep"
)


@only_glibc
def test_freed_memory_is_used_again_without_page_faults() -> None:
    kept, page_faults = count()
    assert kept
    assert page_faults < 10


@only_glibc
def test_the_environment_has_the_last_word() -> None:
    kept, page_faults = count(MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert not kept
    assert page_faults > 100  # 30 blocks come anew, in pages of 2 MiB at the most
