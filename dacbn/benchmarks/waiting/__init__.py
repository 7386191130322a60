"""What people wait for: start, import, steps, layers, the default run, report and labels."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.waiting.builds import Build
from dacbn.benchmarks.waiting.default_run import time_analyse, time_default_run
from dacbn.benchmarks.waiting.labelling import time_labelling
from dacbn.benchmarks.waiting.layer_loops import time_layers
from dacbn.benchmarks.waiting.photo_steps import measure_memory, time_steps
from dacbn.benchmarks.waiting.rows import Options
from dacbn.benchmarks.waiting.starts import time_import, time_start

WAITING: dict[str, Callable[[Options], list[Row]]] = {
    "start": time_start,
    "import": time_import,
    "steps": time_steps,
    "memory": measure_memory,
    "layers": time_layers,
    "train": time_default_run,
    "analyse": time_analyse,
    "predict": time_labelling,
}


def benchmark_waiting(
    rows: Iterable[str] = (), against: Path | None = None, rounds: int = 7, **sizes: Any
) -> list[Row]:
    """Time what people wait for, on the CPU, each alternating with what it is compared with.

    Args:
        rows: names in `WAITING`; all by default.
        against: a reference build: the Python that it is installed for, or its checkout. Without
            one, rows that need it are left out.
        rounds: how often each is timed.
        sizes: further fields of `Options`, for smaller measurements.

    Returns:
        rows with threads, precision, layout and size; seconds and quartiles; and the ratio to what
        "against" names, the median over rounds.
    """
    reference = None if against is None else Build.given(against)
    with tempfile.TemporaryDirectory() as folder:
        options = replace(Options(Path(folder), reference, rounds), **sizes)
        return [row for name in rows or WAITING for row in WAITING[name](options)]
