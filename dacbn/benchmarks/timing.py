"""Time several candidates fairly: interleaved in one process, as ratios to the first."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from dacbn.processes import tell_all
from dacbn.progress import counted

Run = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """The time of one candidate.

    Attributes:
        seconds: the median over rounds.
        low: the lower quartile.
        high: the upper quartile.
        ratio: the median over rounds of its time divided by that of the first candidate in the
            same round; on a busy machine this is the most stable number.
    """

    seconds: float
    low: float
    high: float
    ratio: float


def time_candidates(
    candidates: Mapping[str, Run],
    rounds: int = 9,
    at_least: float = 0.02,
    device: str = "cpu",
    title: str = "timing",
    warm_up: bool = True,
) -> dict[str, Timing]:
    """Time candidates alternately, round after round, after one round of warm-up.

    Args:
        candidates: functions to time, by name; ratios are to the first.
        rounds: how often each is timed.
        at_least: seconds of one measurement; shorter functions are repeated, on several processes
            equally often.
        device: synchronised before the clock is read.
        title: title of the progress bar.
        warm_up: whether to run each before it is timed; without, `at_least` is not used.
    """
    repeats = dict.fromkeys(candidates, 1)
    for name, run in candidates.items() if warm_up else ():
        repeats[name] = _repeats(run, at_least, device)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in counted(range(rounds), rounds, "round", title):
        for name, run in candidates.items():
            times[name].append(_time(run, repeats[name], device))
    first = next(iter(times.values()))
    return {name: _summary(row, first) for name, row in times.items()}


def _repeats(run: Run, at_least: float, device: str) -> int:
    run()  # warm-up: allocation and compilation
    if not at_least:
        return 1
    return max(tell_all(max(1, round(at_least / max(_time(run, 1, device), 1e-9)))))


def _time(run: Run, repeats: int, device: str) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    wait(device)
    return (time.perf_counter() - start) / repeats


def wait(device: str) -> None:
    """Wait until a GPU has finished; no effect on a CPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _summary(times: list[float], first: list[float]) -> Timing:
    low, _, high = quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    ratios = [mine / theirs for mine, theirs in zip(times, first, strict=True)]
    return Timing(median(times), low, high, median(ratios))
