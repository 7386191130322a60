"""dacbn benchmark: time normalisers, training steps, the training loop and whole trainings."""

import dataclasses
import json
import os
from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from dacbn import benchmarks
from dacbn.training import write_output


def benchmark(
    what: Positional[tuple[benchmarks.Part, ...]] = ("layers", "steps", "loops"),
    settings: OmitArgPrefixes[benchmarks.Settings] = benchmarks.Settings(),  # noqa: B008  # frozen
    threads: int = 1,
    output: Path = Path("benchmark.json"),
) -> None:
    """Time normalisers, training steps and the training loop, compared with the usual alternative.

    dacbn benchmark streams RUN --target T is another: the errors of a run on streams of images.

    Args:
        what: layers (each normaliser alone), steps (whole networks), loops (images per second),
            accuracy (seconds of training to an accuracy on the target; takes an hour), export
            (answers of torch, compiled torch and onnxruntime, on the CPU), processes (steps on two
            processes of one thread, compared with one of two, on the CPU), waiting (start, import,
            steps of photographs, layers in loops of their own, the default run, report and labels,
            compared with peers and a reference build, on the CPU).
        settings: the settings.
        threads: CPU threads; 0 uses all cores.
        output: JSON file to write.
    """
    import torch

    from dacbn.training import choose_device

    if threads < 0:
        raise ValueError(f"--threads must be at least 1, or 0 for all cores, got {threads}")
    for name in ("rounds", "files"):
        if (count := getattr(settings, name)) < 1:
            raise ValueError(f"--{name} must be at least 1, got {count}")
    if output.is_dir():
        raise ValueError(f"--output needs a file to write, and {output} is a folder")
    torch.set_num_threads(threads or os.cpu_count() or 1)
    settings = dataclasses.replace(settings, device=str(choose_device(settings.device)))
    results: dict[str, object] = {"machine": benchmarks.machine(settings.device)}
    print(results["machine"])
    for part in what:
        rows = benchmarks.measure(part, settings)
        print(f"\n{part}\n\n{benchmarks.table(rows)}")
        results[part] = rows
        write_output(output, json.dumps(results, indent=2) + "\n")
    print(f"\nwrote {output}")
