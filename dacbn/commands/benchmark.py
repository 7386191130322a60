"""dacbn benchmark: time normalisers, training steps and the training loop."""

import os
from pathlib import Path

import torch
from tyro.conf import Positional

from dacbn import benchmarks
from dacbn.training import choose_device, write_json


def benchmark(
    what: Positional[tuple[benchmarks.Part, ...]] = benchmarks.PARTS,
    norms: tuple[str, ...] = (),
    rounds: int = 9,
    threads: int = 1,
    device: str = "auto",
    bfloat16: bool = False,
    channels_last: bool = False,
    output: Path = Path("benchmark.json"),
) -> None:
    """Time normalisers, training steps and the training loop, beside what one would else take.

    Args:
        what: layers (each normaliser by itself), steps (whole networks), loops (images a second).
        norms: specifications to compare; by default the plain ones and ucb_norm of several sizes.
        rounds: how often each is timed, in turn with the others.
        threads: of the CPU; 0 takes all cores.
        device: cpu, cuda, or auto.
        bfloat16: activations in bfloat16.
        channels_last: lay activations of the layers out so.
        output: where the rows go as JSON.
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)
    place = str(choose_device(device))
    results: dict[str, object] = {"machine": benchmarks.machine(place)}
    print(results["machine"])
    for part in what:
        rows = benchmarks.measure(part, norms, rounds, place, bfloat16, channels_last)
        print(f"\n{part}\n\n{benchmarks.table(rows)}")
        results[part] = rows
        write_json(output, results)
    print(f"\nwrote {output}")
