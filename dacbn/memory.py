"""The memory that is free, and a refusal of what cannot fit into it."""

import math
from pathlib import Path, PurePosixPath

import psutil
import torch

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # of Linux
# limit, use, and the part of the use that is given back when needed, in versions 2 and 1
FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def require_memory(
    num_bytes: int, what: str, cure: str, device: torch.device | str = "cpu"
) -> None:
    """Refuse what needs more memory than is free, before the system kills this process.

    Args:
        num_bytes: that are needed at least.
        what: needs them, for the message.
        cure: what to change, for the message.
        device: where they are needed.

    Raises:
        ValueError: they are not free.
    """
    free = free_memory(torch.device(device))
    if num_bytes > free:
        raise ValueError(
            f"not enough memory for {what}: at least {_gigabytes(num_bytes)} are needed, and "
            f"{_gigabytes(free)} are free; {cure}"
        )


def free_memory(device: torch.device) -> int:
    """Return the bytes that this process can still take on a device, without swap space."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return int(min(psutil.virtual_memory().available, _free_in_cgroups(CGROUPS, MEMBERSHIP)))


def _free_in_cgroups(root: Path, membership: Path) -> float:
    """Return what the control groups of a container or a batch system leave to this process."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return math.inf
    free = math.inf
    for _, controllers, path in lines:
        if controllers and "memory" not in controllers.split(","):
            continue
        version, base = (1, root / "memory") if controllers else (2, root)
        group = PurePosixPath(path)
        for each in (group, *group.parents):  # a container may see its own group as the root
            free = min(free, _free_in(base / each.relative_to("/"), *FILES[version]))
    return free


def _free_in(folder: Path, limit: str, use: str, reclaimable: str) -> float:
    try:
        left = int((folder / limit).read_text()) - int((folder / use).read_text())
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return left + sum(int(number) for name, number in rows if name == reclaimable)
    except (OSError, ValueError):  # there is no such group here, or its limit is "max"
        return math.inf


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"
