"""Train the cells of a comparison: each has a run folder, and no finished cell is repeated."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from dacbn.adapter import DomainAdapter
from dacbn.comparison.grid import Cell
from dacbn.datasets import is_flat_folder, is_stream
from dacbn.progress import LOGGER, Progress
from dacbn.spelling import spell
from dacbn.training import (
    CONFIG,
    FolderInUseError,
    InterruptedTraining,
    RunFolderError,
    StorageError,
    TrainConfig,
    TrainingDomains,
    check_labelled,
    check_names,
    check_needs_source,
    check_without_target,
    choose_device,
    choose_size,
    create_state,
    decide,
    read_records,
    read_run_info,
    write_json,
)
from dacbn.training.automatic import UNDECIDED
from dacbn.training.checkpoint import MODEL
from dacbn.training.metrics import TARGET_TEST_ACCURACY
from dacbn.training.score_intervals import describe_score
from dacbn.training.shared_features import FOLDER, sharing_features
from dacbn.training.starting_defaults import FROM_SCRATCH
from dacbn.training.storage import first_line

NOTE = "cell.json"  # whether a cell has finished or failed
FINISHED, FAILED, MISSING = "finished", "failed", "missing"


def run_cells(cells: Sequence[Cell], runs: Path, after_each: Callable[[], object]) -> None:
    """Train cells one by one; the error of a failing cell is noted, and the next one starts.

    Args:
        cells: the unfinished cells.
        runs: folder of the run folders.
        after_each: called after each cell, finished or failed.

    Raises:
        InterruptedTraining: on Ctrl-C, after a checkpoint.
        StorageError: the disk is full, or the folder cannot be written.
        FolderInUseError: another process trains a cell.
    """
    with Progress(len(cells), "cell", "comparing", stays=True) as progress:
        for number, cell in enumerate(cells, start=1):
            progress.show(cell.name)
            LOGGER.info(f"cell {number} of {len(cells)}: {cell.name}")
            _, outcome = run_cell(cell, runs / cell.name)
            progress.update(quiet=True)
            left = f", {progress.time_left()} left" if number < len(cells) else ""
            LOGGER.info(f"cell {number} of {len(cells)}: {outcome}{left}")
            after_each()


def run_cell(cell: Cell, folder: Path) -> tuple[str, str]:
    """Train a cell; note whether it finished or failed, return that, and say what came of it.

    Raises:
        InterruptedTraining, StorageError, FolderInUseError: as `run_cells`.
    """
    (folder / NOTE).unlink(missing_ok=True)
    try:
        with sharing_features(folder.parent / FOLDER, cell.config):
            last = _train(cell.config, folder)
    except (InterruptedTraining, StorageError, FolderInUseError):
        raise
    except Exception as error:  # of any type: the other cells can still run
        write_json(folder / NOTE, {"state": FAILED, "why": first_line(error)})
        return FAILED, f"failed ({first_line(error)})"
    write_json(folder / NOTE, {"state": FINISHED, "why": ""})
    classes = len(read_run_info(folder).classes)
    score = describe_score(last, "target", classes) if last else ""
    text = f"target accuracy {score}" if last else "finished"
    return FINISHED, text


def _train(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """Start a training, or resume it; return its last scores, if it has kept them."""
    adapter = DomainAdapter(**vars(as_begun(config, folder)))
    adapter.fit(
        config.source,
        config.target or None,
        source_test=config.source,
        target_test=config.target or config.unseen,
        target_labelled=config.target_labelled or None,
        run=folder,
        resume=(folder / CONFIG).exists(),
    )
    last = adapter.records[-1] if adapter.records else {}
    return last if TARGET_TEST_ACCURACY in last else {}


def as_begun(config: TrainConfig, folder: Path) -> TrainConfig:
    """Return the settings of a cell, with the defaults of the version that began it, if one has.

    Raises:
        RunFolderError: its config.json cannot be read.
    """
    if not (folder / CONFIG).exists():
        return config
    began = read_run_info(folder).config
    undecided = [name for name in FROM_SCRATCH if getattr(config, name) in UNDECIDED]
    return dataclasses.replace(config, **{name: getattr(began, name) for name in undecided})


def warn_of_other_defaults(cells: Iterable[Cell], runs: Path) -> None:
    """Say where cells of an earlier version have defaults that new ones do not have."""
    for cell in cells:
        with suppress(RunFolderError):  # the cell itself says so
            began, now = as_begun(cell.config, runs / cell.name), decide(cell.config)
            for name in FROM_SCRATCH:
                if (before := getattr(decide(began), name)) != getattr(now, name):
                    LOGGER.warning(
                        f"{cell.name} began with {spell(name, before)}, the default of another "
                        f"version, and new cells have {spell(name, getattr(now, name))}: for "
                        "a table of one kind, choose another folder"
                    )


def cell_status(folder: Path, config: TrainConfig) -> tuple[str, str]:
    """Return whether a cell is finished, failed or missing, and the error of a failed one.

    A finished cell has its note, its weights, and records up to the last step.
    """
    note = _read(folder / NOTE)
    if note.get("state") != FINISHED:
        return str(note.get("state", MISSING)), str(note.get("why", ""))
    try:
        records = read_records(folder)
    except RunFolderError:
        records = []
    if not records or records[-1]["step"] < config.steps:
        return FAILED, f"its records end before step {config.steps}: delete {folder} to repeat it"
    return (FINISHED if (folder / MODEL).exists() else MISSING), ""


def check_cells(cells: Iterable[Cell], here: bool = True) -> None:
    """Load the domains and build every network once, so that errors show before training starts.

    Args:
        cells: the cells.
        here: whether they will be trained on this machine, which then needs their device.

    Raises:
        ValueError: the settings, domains, norms or methods do not work.
    """
    kinds = {cell.variant: cell.config for cell in cells}
    for config in kinds.values():
        check_settings(config)
        scored = config.target or config.unseen
        if not scored:
            raise ValueError(
                f"a comparison reports accuracies: give {spell('unseen')} a domain to score"
            )
        if streams := list(filter(is_stream, (*config.source, *scored))):
            raise ValueError(
                f"a comparison scores all domains, and {streams[0]} is a stream, which has no test "
                "split: copy its shards here and give their path"
            )
        if flat := [target for target in scored if is_flat_folder(target, config.columns)]:
            raise ValueError(f"{flat[0]} has no labels, and a comparison reports target accuracies")
    by_labelled = {config.target_labelled: config for config in kinds.values()}
    loaded = [_load(config, here) for config in by_labelled.values()]
    counts = [[len(test.images) for test in domains.tests] for domains, _ in loaded]
    if any(each != counts[0] for each in counts):
        raise ValueError(
            f"some images of {spell('target_labelled')} are test images of the methods that do not "
            "take them: compare those methods by a command of their own, or give images that are "
            "not held out of the target"
        )
    domains, size = loaded[0]
    for config in kinds.values():
        untrained = dataclasses.replace(decide(config), pretrained=False)
        create_state(untrained, len(domains.classes), size, torch.device("cpu"))


def _load(config: TrainConfig, here: bool) -> tuple[TrainingDomains, int]:
    """Load the domains of a cell; return them and the pixels per side."""
    source, target = config.source, config.target
    device = choose_device(config.device if here else "cpu")
    size = choose_size(config, device, *source, *target)
    domains = TrainingDomains.read(
        *(config, size, source, target, source, target or config.unseen),
        labelled_targets=config.target_labelled,
    )
    return domains, size


def check_settings(config: TrainConfig) -> None:
    """Check settings without loading anything.

    Raises:
        ValueError: a value, or two of them together, cannot work.
    """
    config.check()
    check_names(config)
    check_needs_source(config)
    check_labelled(config)
    check_without_target(config)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
