"""Timing several things fairly: interleaved in one run, as ratios to the first."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from tqdm import tqdm

Run = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """What one candidate took.

    Attributes:
        seconds: the median of the rounds.
        low: their lower quartile.
        high: their upper quartile.
        ratio: the median over rounds of its time by that of the first candidate in the same round,
            which neighbours on a busy machine disturb least.
    """

    seconds: float
    low: float
    high: float
    ratio: float


def compare(
    candidates: Mapping[str, Run],
    rounds: int = 9,
    at_least: float = 0.02,
    device: str = "cpu",
    title: str = "timing",
) -> dict[str, Timing]:
    """Time candidates in turn, round after round, after one round to warm up.

    Args:
        candidates: what to run, by name; ratios are to the first.
        rounds: how often each is timed.
        at_least: seconds that one measurement lasts; short runs are repeated within it.
        device: waited for before the clock is read.
        title: shown beside the progress bar.
    """
    repeats = {name: _repeats(run, at_least, device) for name, run in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in tqdm(range(rounds), desc=title, unit="round", leave=False, disable=None):
        for name, run in candidates.items():
            times[name].append(_time(run, repeats[name], device))
    first = next(iter(times.values()))
    return {name: _summary(row, first) for name, row in times.items()}


def _repeats(run: Run, at_least: float, device: str) -> int:
    run()  # allocations, compilations and the like
    return max(1, round(at_least / max(_time(run, 1, device), 1e-9)))


def _time(run: Run, repeats: int, device: str) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    wait(device)
    return (time.perf_counter() - start) / repeats


def wait(device: str) -> None:
    """Wait for a GPU to have done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _summary(times: list[float], first: list[float]) -> Timing:
    low, _, high = quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    ratios = [mine / theirs for mine, theirs in zip(times, first, strict=True)]
    return Timing(median(times), low, high, median(ratios))
