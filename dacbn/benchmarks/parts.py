"""The parts of the benchmark by name, and their settings."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from dacbn.training import TrainConfig

if TYPE_CHECKING:
    from dacbn.benchmarks.layers import Row

Part = Literal["layers", "steps", "loops", "accuracy", "export", "processes", "waiting"]
WaitingRow = Literal["start", "import", "steps", "memory", "layers", "train", "analyse", "predict"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Settings:
    """Settings of a benchmark: candidates, repetitions and device."""

    norms: tuple[str, ...] = ()
    """Normalisers to compare; by default the usual ones and ucb_norm of several sizes."""
    rounds: int = 9
    """How often each is timed, alternating with the others."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    bfloat16: bool = False
    """Use bfloat16; in loops, time dacbn in both precisions."""
    channels_last: bool = False
    """Use the channels_last memory format for the activations of layers."""
    goal: float = 0.7
    """Accuracy on the target's test split to reach in the part accuracy."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the trainings of the part accuracy."""
    steps: int = 1500
    """Steps of each training of the part accuracy."""
    data_root: Path = TrainConfig.data_root
    """Folder of MNIST and MNIST-M, for the part accuracy."""
    rows: tuple[WaitingRow, ...] = ()
    """Rows of the part waiting; all by default."""
    files: int = 1000
    """JPEGs that the row predict labels; on two cores 2,000 take 80 seconds a round."""
    against: Path | None = None
    """A reference build for the part waiting: the Python that it is installed for, or its
    checkout."""


def measure(part: Part, settings: Settings) -> "list[Row]":
    """Measure one part on `settings.device`, which is cpu or cuda."""
    from dacbn.benchmarks.accuracy import NORMS, benchmark_accuracy
    from dacbn.benchmarks.exports import SPECS as EXPORTED
    from dacbn.benchmarks.exports import benchmark_exports
    from dacbn.benchmarks.loops import benchmark_loops
    from dacbn.benchmarks.processes import NORMS as SHARED
    from dacbn.benchmarks.processes import benchmark_processes
    from dacbn.benchmarks.rivals import absent_rivals
    from dacbn.benchmarks.steps import benchmark_steps
    from dacbn.benchmarks.waiting import benchmark_waiting

    if part == "layers":
        return _measure_layers(settings)
    if part == "steps":
        norms = settings.norms or ("ucb_norm",)
        return benchmark_steps(
            norms, rounds=settings.rounds, device=settings.device, bfloat16=settings.bfloat16
        )
    if part == "export":
        return benchmark_exports(settings.norms or EXPORTED, rounds=settings.rounds)
    if part == "processes":
        kept = (None, *settings.norms) if settings.norms else SHARED
        return benchmark_processes(kept, rounds=settings.rounds)
    if part == "waiting":
        sizes = {"files": settings.files}
        return benchmark_waiting(settings.rows, settings.against, settings.rounds, **sizes)
    if part == "accuracy":
        return benchmark_accuracy(
            (None, *settings.norms) if settings.norms else NORMS,
            goal=settings.goal,
            seeds=settings.seeds,
            steps=settings.steps,
            data_root=settings.data_root,
            device=settings.device,
        )
    if absent := absent_rivals():
        warnings.warn(f"not installed, so not compared: {', '.join(absent)}", stacklevel=2)
    return benchmark_loops(
        rounds=settings.rounds, device=settings.device, bfloat16=settings.bfloat16
    )


def _measure_layers(settings: Settings) -> "list[Row]":
    import torch

    from dacbn.benchmarks.layers import (
        CLUSTERS,
        LARGE_SHAPES,
        PARTS_OF_SHAPES,
        SHAPES,
        SPECS,
        benchmark_layers,
    )

    on_gpu = settings.device.startswith("cuda")
    measured: list[tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]] = [(SHAPES, ())]
    measured += [] if settings.norms else [(PARTS_OF_SHAPES, CLUSTERS)]
    measured += [(LARGE_SHAPES, ())] if on_gpu else []
    return [
        row
        for shapes, clusters in measured
        for row in benchmark_layers(
            settings.norms or SPECS,
            shapes,
            settings.rounds,
            settings.device,
            torch.bfloat16 if settings.bfloat16 else torch.float32,
            settings.channels_last,
            clusters,
        )
    ]
