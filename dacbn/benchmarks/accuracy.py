"""Measure the seconds of training until the target is classified with a given accuracy."""

import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dacbn.batch import TARGET
from dacbn.benchmarks.layers import Row
from dacbn.benchmarks.timing import wait
from dacbn.models import Network
from dacbn.training import (
    Records,
    TrainConfig,
    TrainingDomains,
    choose_device,
    create_state,
    evaluate,
    train,
)

PAIRS = (("digits", "color_digits"), ("mnist", "mnist_m"))
NORMS = (None, TrainConfig.norm)
SIZE = 32
STEPS = 1500
ACCURACY = "accuracy"


def benchmark_accuracy(
    norms: Iterable[str | None] = NORMS,
    pairs: Iterable[tuple[str, str]] = PAIRS,
    goal: float = 0.7,
    seeds: Iterable[int] = (0, 1, 2),
    steps: int = STEPS,
    every: int = 50,
    data_root: Path = TrainConfig.data_root,
    device: str = "cpu",
) -> list[Row]:
    """Train with DANN until the target's test split is first classified with accuracy `goal`.

    Trainings run to their end, because the learning rate decays over all steps. Seconds count
    training only: not reading data, building the network or scoring. Target labels are used for
    this report only.

    Args:
        norms: replace the digits network's BatchNorms; None keeps them.
        pairs: sources and targets; a pair whose files are missing is skipped with a warning.
        goal: accuracy in (0, 1].
        seeds: one training each, alternating between the norms.
        steps: steps of each training.
        every: steps between scores, the resolution of the result.
        data_root: folder of the named datasets.
        device: cpu or cuda.

    Returns:
        one row per training: seconds and steps until the goal, or "not reached"; whether accuracy
        stays above it; and accuracy and seconds at the end.
    """
    rows: list[Row] = []
    norms = tuple(norms)
    for source, target in pairs:
        settings = {"source": source, "target": target, "data_root": data_root, "device": device}
        try:
            domains = _read(TrainConfig.from_options(**settings))
        except FileNotFoundError as error:
            warnings.warn(f"{source} → {target} is skipped: {error}", stacklevel=2)
            continue
        for seed in seeds:
            for norm in norms:
                config = TrainConfig.from_options(
                    **settings, norm=norm, seed=seed, steps=steps, eval_every=every
                )
                names = {"domains": f"{source} → {target}", "norm": norm or "its own BatchNorm"}
                rows.append({**names, "seed": seed, **_summary(_train(config, domains), goal)})
    return rows


def _read(config: TrainConfig) -> TrainingDomains:
    return TrainingDomains.read(
        config, SIZE, config.source, config.target, target_tests=config.target
    )


def _train(config: TrainConfig, domains: TrainingDomains) -> list[dict[str, Any]]:
    """Train; return step, accuracy and seconds of training at each score."""
    device = choose_device(config.device)
    state = create_state(config, len(domains.classes), SIZE, device)
    stream = domains.stream(config, device, state.method.wants_strong_views)
    (test,) = domains.tests
    seconds, since = 0.0, time.perf_counter()

    def score(network: Network) -> dict[str, float]:
        nonlocal seconds, since
        wait(config.device)
        seconds += time.perf_counter() - since
        scores = {ACCURACY: evaluate(network, test.images, TARGET, device)["accuracy"]}
        since = time.perf_counter()
        return {**scores, "seconds": seconds}

    with Records(None) as records:
        train(state, stream, config, records, evaluate=score)
    return [row for row in records.rows if ACCURACY in row]


def _summary(scores: list[dict[str, Any]], goal: float) -> Row:
    reached = [score for score in scores if score[ACCURACY] >= goal]
    first = reached[0] if reached else {"seconds": "not reached", "step": "-"}
    later = [score[ACCURACY] for score in scores if reached and score["step"] > first["step"]]
    return {
        f"seconds to {goal:.0%}": first["seconds"],
        "step": first["step"],
        "stays": "yes" if reached and min(later, default=1.0) >= goal else "no",
        "final accuracy": scores[-1][ACCURACY],
        "total seconds": scores[-1]["seconds"],
    }
