"""Run a comparison: train its unfinished cells and write its tables."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dacbn.benchmarks import machine
from dacbn.comparison.cells import FINISHED, cell_status, check_cells, run_cells
from dacbn.comparison.files import write_files
from dacbn.comparison.grid import Cell
from dacbn.comparison.results import Result, read_results
from dacbn.spelling import spell
from dacbn.training import (
    Role,
    RunFolderError,
    TrainConfig,
    choose_device,
    claim,
    pin_weights,
    write_json,
)

LOG = logging.getLogger(__name__)
SETTINGS = "comparison.json"
ABOUT = ("device", "threads", "python", "torch", "timm", "dacbn")  # of a machine


def run_comparison(folder: Path, config: TrainConfig, cells: Sequence[Cell]) -> list[Result]:
    """Train the unfinished cells, and write the tables after each.

    Args:
        folder: folder of the comparison; the run folders of the cells are in its `runs`.
        config: the settings that the cells share.
        cells: cells of the grid; those that an earlier comparison in this folder has finished are
            reused.

    Returns:
        the results of all cells.

    Raises:
        ValueError: the settings do not work, or differ from those of the comparison in the folder.
        InterruptedTraining: on Ctrl-C; the same call resumes the comparison.
        FolderInUseError: another process works in the folder.
        StorageError: the disk is full, or the folder cannot be written.
    """
    with claim(folder):
        return _run(folder, pin_weights(config), cells)


def _run(folder: Path, config: TrainConfig, cells: Sequence[Cell]) -> list[Result]:
    runs = folder / "runs"
    machines = _read(folder, config)
    if unfinished := [c for c in cells if cell_status(runs / c.name, c.config)[0] != FINISHED]:
        check_cells(unfinished)
        about = machine(str(choose_device(config.device)))
        here = {name: about[name] for name in ABOUT}
        machines = machines if here in machines else [*machines, here]
        write_json(folder / SETTINGS, {"settings": _shared(config), "machines": machines})
    LOG.info("writing %s", folder)

    def report() -> list[Result]:
        results = read_results(cells, runs)
        write_files(folder, results, machines)
        return results

    report()
    run_cells(unfinished, runs, report)
    return report()


def _shared(config: TrainConfig) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(config.to_json()))
    own = config.names(Role.VARIED | Role.UNREPORTED)
    return {name: value for name, value in settings.items() if name not in own}


def _read(folder: Path, config: TrainConfig) -> list[dict[str, str]]:
    """Return the machines of the comparison in a folder; raise if its settings differ."""
    path = folder / SETTINGS
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text())
        began, machines = dict(content["settings"]), list(content["machines"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"cannot read {path} ({error}): choose another folder for the comparison"
        ) from None
    known = {name: value for name, value in began.items() if name in _shared(config)}
    began = _shared(TrainConfig.from_options(**known))  # other spellings mean the same
    now = {name: value for name, value in _shared(config).items() if name in known}
    if differing := [name for name in now if now[name] != began.get(name, now[name])]:
        raise ValueError(
            f"{folder} holds a comparison with another {', '.join(map(spell, differing))}: use its "
            "settings, or choose another folder"
        )
    return machines
