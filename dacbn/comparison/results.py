"""The results of the cells of a comparison, read from their run folders."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dacbn.comparison.cells import FINISHED, cell_status
from dacbn.comparison.grid import Cell, Variant
from dacbn.estimates import Estimate
from dacbn.training import choose, evaluations_of, read_records, read_run_info
from dacbn.training.estimated_run import estimate_run
from dacbn.training.metrics import (
    NUM_IMAGES,
    SOURCE_TEST_ACCURACY,
    STEPS_PER_SECOND,
    VALIDATOR,
    is_validator,
)
from dacbn.training.selection import LAST


class Result(NamedTuple):
    """The result of one cell.

    Attributes:
        cell: its variant and settings.
        state: finished, failed or missing; the fields below are empty unless it is finished.
        why: the error of a failed cell.
        accuracies: accuracy on the target's test split, by the rule that selects the evaluation.
        source_accuracy: accuracy on the source's test split, at the end.
        scores: scores of the validators, at the end.
        seconds: time of the training steps, without evaluations.
        images: number of the target's test images; None if it was not recorded.
        estimated: accuracy on each target, estimated without its labels.
        classes: number of classes.
        folder: its run folder.
    """

    cell: Cell
    state: str
    why: str
    accuracies: Mapping[str, float] = {}
    source_accuracy: float = float("nan")
    scores: Mapping[str, float] = {}
    seconds: float = 0.0
    images: int | None = None
    estimated: tuple[Estimate, ...] = ()
    classes: int = 0
    folder: Path | None = None


def read_results(cells: Iterable[Cell], runs: Path) -> list[Result]:
    """Read the results of all cells, in order."""
    return [_read(cell, runs / cell.name) for cell in cells]


def _read(cell: Cell, folder: Path) -> Result:
    state, why = cell_status(folder, cell.config)
    if state != FINISHED:
        return Result(cell, state, why)
    records = read_records(folder)
    last = evaluations_of(records)[-1]
    accuracies = {choice.rule: choice.accuracy for choice in choose(records)}
    return Result(
        cell,
        state,
        why,
        {rule: accuracy for rule, accuracy in accuracies.items() if accuracy is not None},
        last[SOURCE_TEST_ACCURACY],
        {n.removeprefix(VALIDATOR): v for n, v in last.items() if is_validator(n)},
        training_seconds(records),
        int(last[NUM_IMAGES["target"]]) if NUM_IMAGES["target"] in last else None,
        estimate_run(folder),
        len(read_run_info(folder).classes),
        folder,
    )


def training_seconds(records: Iterable[Mapping[str, Any]]) -> float:
    """Add up the time of the steps between logs, without interruptions."""
    seconds, before = 0.0, 0
    for row in records:
        if STEPS_PER_SECOND in row:
            seconds += (row["step"] - before) / row[STEPS_PER_SECOND]
            before = row["step"]
    return seconds


def finished(results: Sequence[Result], variant: Variant) -> dict[int, Result]:
    """Return a variant's finished cells, by seed."""
    return {
        result.cell.config.seed: result
        for result in results
        if result.cell.variant == variant and result.state == FINISHED
    }


def accuracies(results: Sequence[Result], variant: Variant, rule: str = LAST) -> dict[int, float]:
    """Return a variant's target accuracies by seed, at the evaluation that a rule selects."""
    found = finished(results, variant)
    return {seed: r.accuracies[rule] for seed, r in found.items() if rule in r.accuracies}


def images_of(results: Iterable[Result]) -> int | None:
    """Return how many target images were tested; None if no cell has recorded it."""
    return next((each.images for each in results if each.images is not None), None)
