"""Check and measure on one GPU what no CPU can: one table of names, values and goals.

Run `python .ci/gpu.py` in a checkout installed with `pip install -e ".[dev]"`; it takes a few
minutes. It ends with 1 if a goal is missed, and where there is no GPU.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import load_file

from dacbn.benchmarks import benchmark_layers, benchmark_loops, benchmark_steps, machine, table
from dacbn.benchmarks.layers import LARGE_SHAPES

ROOT = Path(__file__).parents[1]
LAYERS = ("ucb_norm(num_clusters=1)", "ucb_norm(num_clusters=3)")
ROUNDS = 5
LONGEST = 120  # seconds of one command
BEGIN_BEFORE = 240  # seconds after which no part begins, so that all take eight minutes at most
TRAIN = "-m dacbn train --source digits --target color_digits --validators entropy --eval-every 0"
EXACT = "--steps 8 --precision float32 --optimizer sgd"
LONG = "--steps 400 --log-every 50"
IMAGES = 128  # in a step, with the defaults

Row = dict[str, object]


def row(name: str, value: float, limit: float, most: bool = True) -> Row:
    """Say whether a value is at most its limit, or at least."""
    goal = f"{'at most' if most else 'at least'} {limit:,g}"
    met = value <= limit if most else value >= limit
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return {"name": name, "value": shown, "goal": goal, "met": "yes" if met else "no"}


def run(*words: str) -> str:
    """Run Python in the checkout and return what it prints."""
    ended = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST
    )
    if ended.returncode:
        lines = (ended.stdout + ended.stderr).strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"ended with {ended.returncode}")
    return ended.stdout


def tests(device: str) -> Iterator[Row]:
    """Run the tests that need a GPU."""
    printed = run("-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider")
    yield row("pytest -m gpu: tests that pass", passed(printed), 1, most=False)


def passed(printed: str) -> int:
    """Return how many tests pass, from what pytest prints."""
    found = re.search(r"(\d+) passed", printed)
    return int(found[1]) if found else 0


def layers(device: str) -> Iterator[Row]:
    """Time layers against cuDNN's BatchNorm, and compare them with float64."""
    for dtype in (torch.float32, torch.bfloat16):
        for last in (False, True):
            found = benchmark_layers(LAYERS, LARGE_SHAPES, ROUNDS, device, dtype, last)
            kind = f"{str(dtype)[6:]}{', channels_last' if last else ''}"
            for each in found[1:]:
                name = f"{each['layer']}, {kind}"
                yield row(f"{name}: time to BatchNorm's", float(str(each["ratio"])), 2)
                yield row(
                    f"{name}: error to float64",
                    float(str(each["error"])),
                    1e-5 if dtype == torch.float32 else 3e-2,
                )


def steps(device: str) -> Iterator[Row]:
    """Time steps of whole networks, which are channels_last on a GPU."""
    for bfloat16 in (False, True):
        for each in benchmark_steps(("ucb_norm",), rounds=ROUNDS, device=device, bfloat16=bfloat16)[
            1::2
        ]:
            kind = "bfloat16" if bfloat16 else "float32"
            name = f"step of {each['backbone']}, {kind}: time to BatchNorm's"
            yield row(name, float(str(each["ratio"])), 1.15)


def loop(device: str) -> Iterator[Row]:
    """Time the loop on digits."""
    for each in benchmark_loops(rounds=ROUNDS, device=device, bfloat16=True):
        if str(each["loop"]).startswith("dacbn"):
            speed = float(str(each["images_per_second"]))
            yield row(f"loop of {each['loop']}: images a second", speed, 100_000, most=False)


def compiled(device: str) -> Iterator[Row]:
    """Train with and without --compile."""
    with tempfile.TemporaryDirectory() as folder:
        speeds = []
        for name, words in (("plain", ()), ("compiled", ("--compile",))):
            output = Path(folder) / name
            run(*TRAIN.split(), *LONG.split(), "--device", device, *words, "--output", str(output))
            speeds.append(IMAGES * steps_per_second(output / "metrics.jsonl"))
        yield row("train: images a second", speeds[0], 0, most=False)
        yield row("train --compile: images a second", speeds[1], speeds[0], most=False)


def steps_per_second(metrics: Path) -> float:
    """Return the median of a run, the first log left out, in which there are compilations."""
    lines = map(json.loads, metrics.read_text().splitlines())
    return median([each["steps_per_second"] for each in lines if "steps_per_second" in each][1:])


def one_rank(device: str) -> Iterator[Row]:
    """Train under torchrun with one process, and without it: NCCL on a GPU, Gloo on a CPU."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    with tempfile.TemporaryDirectory() as folder:
        trained = []
        for name, words in (("alone", []), ("launched", launcher)):
            output = Path(folder) / name
            common = (*TRAIN.split(), *EXACT.split(), "--device", device, "--output", str(output))
            run(*words, *common)
            trained.append(load_file(output / "model.safetensors"))
        alone, launched = trained
        apart = max(float((launched[name] - each).abs().max()) for name, each in alone.items())
        # float32 sums in another order, over eight steps: 1.2e-5 on a CPU
        yield row("torchrun, one process: weights apart after 8 steps", apart, 5e-5)


PARTS: tuple[Callable[[str], Iterator[Row]], ...] = (
    tests,
    layers,
    steps,
    loop,
    compiled,
    one_rank,
)


def measure(device: str) -> list[Row]:
    """Return the rows of all parts; one that fails says why, and the others go on."""
    rows: list[Row] = []
    started = time.monotonic()
    for part in PARTS:
        try:
            if time.monotonic() - started > BEGIN_BEFORE:
                raise TimeoutError("left out, to end in time")
            rows.extend(part(device))
        except Exception as error:
            text = (str(error).splitlines() or [type(error).__name__])[0][:120]
            rows.append({"name": part.__name__, "value": text, "goal": "ends", "met": "no"})
    return rows


def main() -> int:
    """Print the table; return 1 if a goal is missed."""
    if not torch.cuda.is_available():
        print(
            "nothing was measured: torch finds no GPU; run this where nvidia-smi lists one, with a "
            "build of torch for CUDA"
        )
        return 1
    print(machine("cuda"))
    rows = measure("cuda")
    print(f"\n{table(rows)}")
    return int(any(each["met"] == "no" for each in rows))


if __name__ == "__main__":
    sys.exit(main())
