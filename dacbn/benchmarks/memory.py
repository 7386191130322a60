"""How much memory a computation holds at its worst moment."""

import os
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler talks on stderr


def peak_bytes(run: Callable[[], object], device: str = "cpu") -> int:
    """Measure the most bytes of tensors that `run` holds at once beyond those it found.

    On the CPU this counts torch's allocations, not what a compiled kernel takes on its stack.
    """
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    held = most = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most
