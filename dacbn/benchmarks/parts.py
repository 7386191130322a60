"""The parts of a benchmark by name."""

import warnings
from typing import Literal, get_args

import torch

from dacbn.benchmarks.layers import Row, benchmark_layers, default_layers
from dacbn.benchmarks.loops import absent_rivals, benchmark_loops
from dacbn.benchmarks.steps import benchmark_steps

Part = Literal["layers", "steps", "loops"]
PARTS: tuple[Part, ...] = get_args(Part)


def measure(
    part: Part,
    specs: tuple[str, ...],
    rounds: int,
    device: str,
    bfloat16: bool = False,
    channels_last: bool = False,
) -> list[Row]:
    """Measure one part: see `benchmark_layers`, `benchmark_steps` and `benchmark_loops`."""
    if part == "layers":
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        layers = specs or default_layers()
        return benchmark_layers(
            layers, rounds=rounds, device=device, dtype=dtype, channels_last=channels_last
        )
    if part == "steps":
        norms = specs or ("ucb_norm",)
        return benchmark_steps(norms, rounds=rounds, device=device, bfloat16=bfloat16)
    if absent := absent_rivals():
        warnings.warn(f"not installed, so not compared: {', '.join(absent)}", stacklevel=2)
    return benchmark_loops(rounds=rounds, device=device)
