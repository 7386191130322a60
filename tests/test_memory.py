"""What cannot fit into the free memory is refused, and a container's limit counts."""

import psutil
import pytest
import torch

from dacbn import memory
from dacbn.memory import free_memory, require_memory


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_what_does_not_fit_is_refused_with_the_numbers(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda _: 2_000_000_000)
    require_memory(2_000_000_000, "this", "lower it")
    with pytest.raises(ValueError) as caught:
        require_memory(2_500_000_000, "this", "lower it")
    assert str(caught.value) == (
        "not enough memory for this: at least 2.5 GB are needed, and 2.0 GB are free; lower it"
    )


def test_the_free_memory_is_that_of_the_machine_at_most():
    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total


def test_the_smallest_limit_of_the_groups_above_counts(tmp_path):
    """Version 2, as in a job of a batch system: 8 GB less 5, of which 1 is cache."""
    root, membership = tmp_path / "cgroup", tmp_path / "self"
    membership.write_text("0::/job/step\n")
    write(root, memory__stat="inactive_file 7\n")  # the root of a machine has no limit
    write(root / "job", memory__max="8000\n", memory__current="5000\n")
    write(root / "job", memory__stat="anon 4000\ninactive_file 1000\n")
    write(root / "job/step", memory__max="max\n", memory__current="5000\n", memory__stat="")
    assert memory._free_in_cgroups(root, membership) == 4000


def test_groups_of_version_1_count(tmp_path):
    """As in a container that sees its own group as the root, and another path for itself."""
    root, membership = tmp_path / "cgroup", tmp_path / "self"
    membership.write_text("5:cpu:/docker/ab\n4:memory:/docker/ab\n0::/\n")
    write(root / "memory", **{"memory__limit_in_bytes": "900", "memory__usage_in_bytes": "500"})
    write(root / "memory", memory__stat="inactive_file 1\ntotal_inactive_file 20\n")
    assert memory._free_in_cgroups(root, membership) == 420


def test_a_machine_without_groups_has_no_such_limit(tmp_path):
    assert memory._free_in_cgroups(tmp_path, tmp_path / "missing") == float("inf")
