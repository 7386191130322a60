"""Freed memory stays in the process, so that allocating it again causes no page faults."""

import os
import platform
import subprocess
import sys

import pytest

from dacbn.training import allocator

COUNT = """
import resource, runpy, sys, torch
keep_freed_memory = runpy.run_path(sys.argv[1])["keep_freed_memory"]  # dacbn takes long to import

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):  # 3 x 12 MiB, freed at the end of each iteration
        blocks = [torch.ones(3 << 20) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory()
page_faults()
print(int(kept), page_faults())
"""


def count(**environment: str) -> tuple[int, int]:
    """Return whether memory is kept, and the page faults, of a new process."""
    command = [sys.executable, "-c", COUNT, allocator.__file__]
    own = {name: value for name, value in os.environ.items() if name not in allocator.USER_SETTINGS}
    run = subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True)
    kept, page_faults = map(int, run.stdout.split())
    return kept, page_faults


only_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can keep memory"
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
    assert page_faults > 100  # 30 new blocks, in pages of at most 2 MiB
