"""The training of one trial, in a run folder of its own."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dacbn.adapter import DomainAdapter
from dacbn.training import CONFIG, TrainConfig, evaluations_of, test_places
from dacbn.tuning.choice import Scores, label_free

RUNS = "runs"


def run_folder(folder: Path, number: int) -> Path:
    """Return the run folder of a trial."""
    return folder / RUNS / f"trial-{number}"


def train_trial(
    config: TrainConfig, folder: Path, ends_at_half: Callable[[Scores], bool] | None
) -> tuple[Scores, bool]:
    """Start a training, or go on with it.

    Args:
        config: its settings.
        folder: its run folder.
        ends_at_half: receives the scores of the first evaluation in the second half of the
            training, and returns whether it ends there. None has none.

    Returns:
        the scores of the last evaluation, and whether the training was ended early.
    """
    ended = False

    def look(step: int, scores: Mapping[str, float]) -> bool:
        nonlocal ended
        if ends_at_half is not None and config.steps <= 2 * step < 2 * config.steps:
            ended = ends_at_half(label_free(scores))
        return ended

    adapter = DomainAdapter(**vars(config))
    adapter.fit(
        config.source,
        config.target or None,
        source_test=test_places(config.source, config.columns),
        target_test=test_places(config.target or config.unseen, config.columns),
        target_labelled=config.target_labelled or None,
        run=folder,
        resume=(folder / CONFIG).exists(),
        on_evaluation=look,
    )
    evaluations = evaluations_of(adapter.records)
    return (label_free(evaluations[-1]) if evaluations else {}), ended


def settings_of(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """Return the settings of a trial."""
    return TrainConfig.from_options(**{**vars(config), **changes})


def with_evaluation_at_half(config: TrainConfig) -> TrainConfig:
    """Return settings with an evaluation at the half of the training, at the latest."""
    half = max(1, config.steps // 2)
    if 0 < config.eval_every <= half:
        return config
    return dataclasses.replace(config, eval_every=half)
