"""A comparison: its folder, its settings, its cells, and the tables they end in."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dacbn.benchmarks import machine
from dacbn.comparison.cells import FINISHED, check_cells, run_cells, state_of
from dacbn.comparison.grid import Cell
from dacbn.comparison.report import write_report
from dacbn.comparison.results import Result, read_results
from dacbn.training import RunFolderError, TrainConfig, choose_device, write_json

SETTINGS = "comparison.json"
ABOUT = ("device", "threads", "python", "torch", "timm", "dacbn")  # of a machine
# What cells do not share, or what changes no result.
OWN = {"norm", "method", "seed"}
FREE = {
    *("device", "data_root", "download", "tensorboard"),
    *("log_every", "checkpoint_every", "snapshot_every"),
}


def run_comparison(folder: Path, config: TrainConfig, cells: Sequence[Cell]) -> list[Result]:
    """Train the cells that are not finished, and write the tables after each.

    Args:
        folder: of the comparison; each cell has a run folder in its `runs`.
        config: what the cells share.
        cells: of the grid. Those of an earlier one in the same folder count where they recur.

    Returns:
        how all cells ended.

    Raises:
        ValueError: settings that do not work, or others than those of the folder's comparison.
        InterruptedTraining: on Ctrl-C; the same call goes on.
        StorageError: the disk is full, or the folder cannot be written.
    """
    runs = folder / "runs"
    machines = _read(folder, config)
    if unfinished := [c for c in cells if state_of(runs / c.name, c.config)[0] != FINISHED]:
        check_cells(unfinished)
        about = machine(str(choose_device(config.device)))
        here = {name: about[name] for name in ABOUT}
        machines = machines if here in machines else [*machines, here]
        write_json(folder / SETTINGS, {"settings": _shared(config), "machines": machines})

    def report() -> list[Result]:
        results = read_results(cells, runs)
        write_report(folder, results, machines)
        return results

    report()
    run_cells(unfinished, runs, report)
    return report()


def _shared(config: TrainConfig) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(config.to_json()))
    return {name: value for name, value in settings.items() if name not in OWN | FREE}


def _read(folder: Path, config: TrainConfig) -> list[dict[str, str]]:
    """Return the machines of the folder's comparison; refuse other settings than it has."""
    path = folder / SETTINGS
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text())
        began, machines = dict(content["settings"]), list(content["machines"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"cannot read {path} ({error}): name another folder for the comparison"
        ) from None
    now = _shared(config)
    if differing := [name for name in now if now[name] != began.get(name, now[name])]:
        raise ValueError(
            f"{folder} holds a comparison with another {', '.join(differing)}: compare under its "
            "settings, or name another --output"
        )
    return machines
