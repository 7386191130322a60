"""Run a function on several processes of this machine, joined by gloo.

They are copies of one process, which imports once what takes them seconds.
"""

import os
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from dacbn.processes import Share, sharing

IMPORTED_ONCE = ["dacbn.adapter", "dacbn.methods", "dacbn.norms", "timm", "torch._dynamo"]


def launch(function, count, folder, *arguments):
    """Run function(rank, *arguments) on `count` processes, and return what each returned."""
    folder = Path(folder)
    mp.get_context("forkserver").set_forkserver_preload(IMPORTED_ONCE)
    options = (function, count, str(folder), arguments)
    mp.start_processes(_run, options, count, start_method="forkserver")
    return [torch.load(folder / f"result{rank}.pt", weights_only=False) for rank in range(count)]


def _run(rank, function, count, folder, arguments):
    torch.set_num_threads(1)
    os.environ.pop("MASTER_ADDR", None)
    store = dist.FileStore(f"{folder}/store", count)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=count, timeout=timedelta(seconds=60)
    )
    try:
        everyone = dist.group.WORLD
        with sharing(Share(rank, count, everyone, everyone, everyone)):
            result = function(rank, *arguments)
        torch.save(result, f"{folder}/result{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()
