"""Run a comparison: train its unfinished cells and write its tables."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch

from dacbn.comparison.cells import (
    FINISHED,
    cell_status,
    check_cells,
    run_cells,
    warn_of_other_defaults,
)
from dacbn.comparison.files import write_files
from dacbn.comparison.grid import Cell
from dacbn.comparison.machines import this_machine
from dacbn.comparison.plan import Plan
from dacbn.comparison.results import Result, read_results
from dacbn.comparison.turns import in_turn
from dacbn.spelling import spell
from dacbn.training import (
    Role,
    RunFolderError,
    TrainConfig,
    claim,
    pin_weights,
    write_json,
)
from dacbn.training.shared_features import FOLDER, of_seed

LOG = logging.getLogger(__name__)
SETTINGS = "comparison.json"
HERE = Plan()


def run_comparison(
    folder: Path,
    config: TrainConfig,
    cells: Sequence[Cell],
    plan: Plan = HERE,
    own: Sequence[Cell] | None = None,
) -> list[Result]:
    """Train the unfinished cells, and write the tables after each.

    All cells in a folder train with the same number of threads, on which the order of sums may
    depend, so that a cell is the same to the bit wherever it is trained.

    Args:
        folder: folder of the comparison; the run folders of the cells are in its `runs`.
        config: the settings that the cells share.
        cells: cells of the grid; those that an earlier comparison in this folder has finished are
            reused.
        plan: where the cells are trained.
        own: the cells of this process, of a plan with shards; None: its share of `cells`.

    Returns:
        the results of all cells; those of other shards are missing until these are trained.

    Raises:
        ValueError: the settings or the plan do not work, or differ from those of the comparison in
            the folder.
        ImportError: Ray is needed, and not installed.
        InterruptedTraining, KeyboardInterrupt: on a signal; the same call resumes the comparison.
        FolderInUseError: another process works in the folder.
        StorageError: the disk is full, or the folder cannot be written.
    """
    train = _trainer(plan)
    config = pin_weights(config)
    if plan.shard is None:
        with claim(folder):
            return _run(folder, config, cells, cells, plan, train, nullcontext)
    own = plan.shard.share(cells) if own is None else own
    return _run(folder, config, cells, own, plan, train, partial(in_turn, folder))


Train = Callable[[Sequence[Cell], Path, int, Callable[[Mapping[str, str]], object]], None]


def _run(
    folder: Path,
    config: TrainConfig,
    cells: Sequence[Cell],
    own: Sequence[Cell],
    plan: Plan,
    train: Train,
    held: Callable[[], AbstractContextManager[None]],
) -> list[Result]:
    runs = folder / "runs"

    def report(machine: Mapping[str, str] | None = None) -> list[Result]:
        with held():
            machines = _read(folder, config)
            if machine is not None and (not machines or (machine and machine not in machines)):
                machines += [dict(machine)] if machine else []
                write_json(folder / SETTINGS, {"settings": _shared(config), "machines": machines})
            results = read_results(cells, runs)
            write_files(folder, results, machines)
            for seed in {result.cell.config.seed for result in results}:
                own = [each for each in results if each.cell.config.seed == seed]
                if all(each.state == FINISHED for each in own):
                    rmtree(of_seed(runs / FOLDER, seed), ignore_errors=True)
            return results

    with held():
        before = _read(folder, config)
    unfinished = [c for c in own if cell_status(runs / c.name, c.config)[0] != FINISHED]
    if not unfinished:
        return report()
    check_cells(unfinished, here=plan.ray is None)
    warn_of_other_defaults(cells, runs)
    threads = _choose_threads(plan, before)
    with _threads(threads):
        report({} if plan.on_ray else this_machine(config.device))
        LOG.info("writing %s", folder)
        train(unfinished, runs, threads, report)
    results = report()
    if all(result.state == FINISHED for result in results):  # of all shards
        rmtree(runs / FOLDER, ignore_errors=True)
    return results


def _trainer(plan: Plan) -> Train:
    """Return what trains cells under a plan.

    Raises:
        ValueError: the plan does not work.
        ImportError: Ray is needed, and not installed.
    """
    plan.check()
    if not plan.on_ray:
        return lambda cells, runs, _, report: run_cells(cells, runs, partial(report, {}))
    try:
        from dacbn.comparison.on_ray import run_on_ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        option = spell("workers" if plan.ray is None else "ray")
        raise ImportError(f"{option} needs Ray: pip install 'dacbn[ray]'", name="ray") from None
    return lambda cells, runs, threads, report: run_on_ray(cells, runs, plan, threads, report)


def _choose_threads(plan: Plan, before: Sequence[Mapping[str, str]]) -> int:
    """Return the threads of a cell: those of the cells before it, unless others are asked for."""
    usual = torch.get_num_threads()
    if plan.workers is not None:
        usual = max(1, (os.cpu_count() or 1) // plan.workers)
    elif plan.ray is not None:
        usual = 1
    known = next((each["threads"] for each in before if each.get("threads", "").isdecimal()), None)
    threads = plan.cpus or int(known or usual)
    if plan.cpus is None and threads != usual:
        LOG.info(
            "each cell trains with %d threads, as those before it; %s changes that, and the last "
            "digits of results",
            *(threads, spell("cpus", usual)),
        )
    return threads


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
