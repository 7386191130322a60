"""Time training steps on several processes, compared with one process of as many threads."""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from dacbn.batch import Batch
from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.steps import NUM_CLASSES, new_state, take_step
from dacbn.benchmarks.timing import time_candidates
from dacbn.processes import as_one_process, joined, leads, own_rows
from dacbn.training import TrainConfig, TrainingState
from dacbn.training.allocator import keep_freed_memory
from dacbn.training.several_processes import average_gradients, in_parallel

CELLS = (("digits_cnn", 32), ("resnet18", 96))  # backbones, and pixels per side
NORMS = (None, TrainConfig.norm)
AT_LEAST = 0.3  # seconds of steps in a row, as in a training


def benchmark_processes(
    norms: Iterable[str | None] = NORMS,
    cells: Iterable[tuple[str, int]] = CELLS,
    method: str = "dann",
    batch_size: int = 64,
    processes: int = 2,
    rounds: int = 9,
) -> list[Row]:
    """Time whole training steps on the CPU: forward, backward, exchange and optimiser.

    There are two comparisons: one process of as many threads with processes of one thread, which
    train the same, and with processes of which each sees only its own rows, and averages nothing
    but gradients, as DistributedDataParallel alone does; and these two kinds of processes.

    Args:
        norms: normalisers that replace all BatchNorms of a backbone; None keeps them.
        cells: backbones, and pixels per side.
        method: adaptation method.
        batch_size: images of each domain per step, of all processes together.
        processes: how many.
        rounds: how often each is timed, alternating with the other.

    Returns:
        one row per backbone, normaliser and candidate: seconds of a step, quartiles, the ratio to
        the first of the comparison, and images per second.
    """
    arguments = tuple(norms), tuple(cells), method, batch_size, rounds
    with tempfile.TemporaryDirectory() as folder:
        untyped: Any = start_processes
        untyped(_run, (processes, folder, arguments), processes, start_method="spawn")
        rows: list[Row] = torch.load(Path(folder) / "rows.pt", weights_only=False)
    return rows


def _run(rank: int, count: int, folder: str, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()  # as trainings do
    store = dist.FileStore(f"{folder}/store", count)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count)
    try:
        with joined(torch.device("cpu")):
            rows = _measure(*arguments)
            if leads():
                torch.save(rows, f"{folder}/rows.pt")
    finally:
        dist.destroy_process_group()


def _measure(
    norms: tuple[str | None, ...],
    cells: tuple[tuple[str, int], ...],
    method: str,
    batch_size: int,
    rounds: int,
) -> list[Row]:
    rows: list[Row] = []
    for backbone, size in cells:
        images = torch.rand(2, batch_size, 3, size, size)
        batch = Batch(images[0], torch.arange(batch_size) % NUM_CLASSES, images[1])
        for norm in norms:
            cell = {"backbone": backbone, "pixels": size, "norm": norm or "its own BatchNorm"}
            with ExitStack() as parallel:
                states = [new_state(backbone, norm, method) for _ in range(3)]
                for runs in _comparisons(states, batch, parallel):
                    title = f"{backbone}, {cell['norm']}"
                    timings = time_candidates(runs, rounds, AT_LEAST, title=title)
                    for name, timing in timings.items():
                        speed = {"images_per_second": 2 * batch_size / timing.seconds}
                        rows.append({**cell, "candidate": name, **asdict(timing), **speed})
    return rows


def _comparisons(
    states: list[TrainingState], batch: Batch, parallel: ExitStack
) -> list[dict[str, Callable[[], None]]]:
    """Return what is compared: by itself or shared, and averaging gradients only or sharing all."""
    count = dist.get_world_size()
    alone, shared, apart = states
    sharing_all = parallel.enter_context(in_parallel(shared.method))
    everyone: Any = dist.group.WORLD
    averaging = average_gradients(apart.method, everyone)
    own = slice(*own_rows(len(batch.source_images)))
    part = Batch(batch.source_images[own], batch.source_labels[own], batch.target_images[own])

    def by_itself() -> None:
        if leads():
            torch.set_num_threads(count)
            with as_one_process():
                take_step(alone, alone.method, batch)
            torch.set_num_threads(1)
        dist.barrier()  # the others do not compute meanwhile

    def on_all() -> None:
        take_step(shared, sharing_all, batch)

    def only_gradients() -> None:
        with as_one_process():
            take_step(apart, averaging, part)

    together = f"{count} processes of one thread"
    apart_only = f"{together}, averaging gradients only"
    one = {f"one process of {count} threads": by_itself}
    return [
        {**one, together: on_all, apart_only: only_gradients},
        {f"{apart_only}, again": only_gradients, f"{together}, again": on_all},
    ]
