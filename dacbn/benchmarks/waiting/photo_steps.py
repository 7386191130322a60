"""Training steps of resnet18 on photographs, in bfloat16, and their memory."""

from functools import partial
from pathlib import Path

import torch

from dacbn.batch import Batch
from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.memory import peak_bytes
from dacbn.benchmarks.steps import NUM_CLASSES, new_state, take_step
from dacbn.benchmarks.waiting.rows import Conditions, Options, compare, memory_row
from dacbn.training import TrainConfig

PRECISION = "bfloat16"
OWN = "batch_norm"
DEFAULT = str(TrainConfig.norm)
NORMS = (DEFAULT, "ucb_norm(num_clusters=3)")
STEP, PLAIN = (Path(__file__).parent / name for name in ("served_step.py", "served_plain_step.py"))


def time_steps(options: Options) -> list[Row]:
    """Time steps as `dacbn train` takes them, each network in a process of its own."""
    size = [PRECISION, str(options.pixels), str(options.images)]
    own = partial(options.build.serve, STEP, [OWN, *size])
    plain = partial(options.build.serve, PLAIN, size)
    peers = [(norm, OWN, own) for norm in NORMS]
    peers.append((DEFAULT, "a plain loop, contiguous, BatchNorm", plain))
    if options.reference is not None:
        reference = partial(options.reference.serve, STEP, [DEFAULT, *size])
        peers.append((DEFAULT, "reference", reference))
    conditions = _conditions(options, "the build's")
    rows: list[Row] = []
    for norm, against, start in peers:
        ours = options.build.serve(STEP, [norm, *size], options.folder)
        with ours as step, start(options.folder) as peer:
            what = f"step, {norm}"
            rows.append(compare(what, step, peer, against, conditions, options.rounds))
    return rows


def measure_memory(options: Options) -> list[Row]:
    """Measure the peak memory of tensors in a step, beyond network and optimiser."""
    shape = (options.images, 3, options.pixels, options.pixels)
    source, target = (
        torch.rand(shape).contiguous(memory_format=torch.channels_last) for _ in range(2)
    )
    batch = Batch(source, torch.arange(options.images) % NUM_CLASSES, target)
    peaks = []
    for norm in (DEFAULT, OWN):
        state = new_state("resnet18", norm, "dann")
        state.method.to(memory_format=torch.channels_last)
        peaks.append(peak_bytes(partial(take_step, state, state.method, batch, bfloat16=True)))
    conditions = _conditions(options, "channels_last")
    what = f"memory of a step, {DEFAULT}"
    return [memory_row(what, peaks[0], peaks[1], OWN, conditions)]


def _conditions(options: Options, layout: str) -> Conditions:
    size = f"resnet18, {options.images} + {options.images} of {options.pixels} px"
    return Conditions(PRECISION, layout, size)
