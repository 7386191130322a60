"""Train cells on workers, by Ray: on this machine, or on a cluster.

Each cell has a process of its own; see `cell_process`.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.experimental import internal_kv

from dacbn.comparison.cell_process import DeadCellError, to_import, work
from dacbn.comparison.cell_table import CellTable, Counts
from dacbn.comparison.cells import FAILED, FINISHED, MISSING, NOTE
from dacbn.comparison.grid import Cell
from dacbn.comparison.plan import Plan
from dacbn.comparison.ray_resources import Share, share_of
from dacbn.comparison.remote_cell import Outcome, Task, read_files, write_files
from dacbn.progress import LOGGER, Progress
from dacbn.spelling import chosen_spelling, spell
from dacbn.training import write_json
from dacbn.training.storage import first_line

TRIES = 4  # of a cell whose worker dies
TO_CONNECT = 60.0  # seconds; Ray itself tries for many minutes, and hears no signal meanwhile
POLL = 0.2  # seconds
TO_STOP = 120.0  # seconds for the steps that are under way, and their checkpoints
# Ray would kill workers while less than 5 % of a machine's memory is free, whoever uses the rest,
# and start them again without end; the system itself kills who takes too much, TRIES times
WITHOUT_MONITOR = {"memory_monitor_refresh_ms": 0}
MARK = ".driver."  # begins the name of a file that shows workers that they see the folder

Report = Callable[[Mapping[str, str]], object]
QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


def run_on_ray(
    cells: Sequence[Cell], runs: Path, plan: Plan, threads: int, after_each: Report
) -> None:
    """Train cells on workers; failing cells are noted, and those whose worker dies tried again.

    Args:
        cells: the unfinished cells.
        runs: folder of the run folders; workers that do not see it send their files back.
        plan: how many workers, or which cluster, and the resources of a cell.
        threads: threads and CPUs of a cell.
        after_each: called after each cell, finished or failed, with the machine that trained it.

    Raises:
        KeyboardInterrupt: on a signal, after the running cells have saved a checkpoint.
        StorageError: the disk is full, or the folder cannot be written.
        RuntimeError: Ray does not start.
        ValueError: nothing answers at the address, it has another version of Ray, or no machine
            has what a cell needs.
    """
    runs, stop = runs.resolve(), token_bytes(16)
    with _connected(plan, threads), _marked(runs, plan.shard is None) as mark:
        share = share_of(ray.nodes(), plan, threads, cells[0].config.device)
        retries = {"max_retries": TRIES - 1, "retry_exceptions": [DeadCellError]}
        # Ray would end a worker with each task on a GPU, but only the process of a cell uses it
        resources = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_calls": 0}
        train = ray.remote(**resources, **retries)(work)
        modules = to_import()

        def start(cell: Cell) -> Any:
            begun = read_files(runs / cell.name, with_checkpoint=True)
            place, messages = Path.cwd(), chosen_spelling()
            task = Task(cell, runs / cell.name, mark, begun, threads, place, messages)
            return train.options(name=cell.name).remote(pickle.dumps(task), modules, stop)

        _Grid(cells, runs, share, start, after_each).run(stop)


class _Grid:
    """The cells that workers train now, and what has become of the others."""

    def __init__(
        self,
        cells: Sequence[Cell],
        runs: Path,
        share: Share,
        start: Callable[[Cell], Any],
        after_each: Report,
    ) -> None:
        self._runs, self._share, self._start, self._after_each = runs, share, start, after_each
        self._tries = dict.fromkeys((cell.name for cell in cells), 1)
        self._total, self._ended = len(cells), {FINISHED: 0, FAILED: 0}
        self._waiting = list(cells)
        self._under_way: dict[Any, Cell] = {}
        self._begun: dict[str, float] = {}

    def run(self, stop: bytes) -> None:
        """Train all cells; on a signal, let those that run save, and raise it.

        Args:
            stop: the key by which workers learn that they are to stop.
        """
        progress = Progress(self._total, "cell", "comparing", stays=True)
        with progress, CellTable(self._share.places) as table:
            try:
                self._fill()
                progress.show("" if table.is_shown else str(self._counts()))
                LOGGER.info(f"{self._total} cells: {self._counts()}")
                while self._under_way:
                    table.show(self._counts(), progress.seconds_left(), self._since())
                    for reference in self._ready():
                        self._end(reference, progress, table)
            except KeyboardInterrupt:
                internal_kv._internal_kv_put(stop, b"")
                self._stop()
                raise

    def _fill(self) -> None:
        """Start as many cells as there is room for; the others can then be stopped at once."""
        while self._waiting and len(self._under_way) < max(self._share.places, 1):
            cell = self._waiting.pop(0)
            self._begun[cell.name] = time.monotonic()
            self._under_way[self._start(cell)] = cell

    def _ready(self) -> list[Any]:
        waiting = list(self._under_way)
        found = list(ray.wait(waiting, num_returns=len(waiting), timeout=0)[0])
        if not found:
            time.sleep(POLL)  # not in Ray, which forgets the number of a signal
        return found

    def _end(self, reference: Any, progress: Progress, table: CellTable) -> None:
        """Keep what a worker sends, and count its cell; start it again if a signal stopped it."""
        cell = self._under_way.pop(reference)
        outcome = self._keep(reference, cell)
        if outcome.state == MISSING and self._tries[cell.name] < TRIES:
            self._tries[cell.name] += 1
            self._waiting.append(cell)
            self._fill()
            LOGGER.info(f"{cell.name}: {outcome.text}; it is tried again")
            return
        self._ended[FINISHED if outcome.state == FINISHED else FAILED] += 1
        self._fill()
        progress.update(quiet=True)
        progress.show("" if table.is_shown and self._under_way else str(self._counts()))
        left = f"; {progress.time_left()} left" if self._under_way else ""
        LOGGER.info(f"{cell.name}: {outcome.text}; {self._counts()}{left}")
        self._after_each(outcome.machine)

    def _keep(self, reference: Any, cell: Cell) -> Outcome:
        """Write what a worker sends into the run folder, or the note that it failed."""
        folder = self._runs / cell.name
        try:
            outcome = _outcome(reference)
        except Exception as error:  # of the cell, or of Ray
            why = _told(error)
            write_json(folder / NOTE, {"state": FAILED, "why": why})
            return Outcome(FAILED, f"failed ({why})", {}, (), {})
        for text in outcome.warned:
            warnings.warn(text, stacklevel=2)
        write_files(folder, outcome.files)
        return outcome

    def _counts(self) -> Counts:
        return Counts(len(self._under_way), len(self._waiting), *self._ended.values())

    def _since(self) -> dict[str, float]:
        """Return how many seconds ago the cells under way began; Ray may still start a worker."""
        now = time.monotonic()
        return {each.name: now - self._begun[each.name] for each in self._under_way.values()}

    def _stop(self) -> None:
        """Wait for workers to save and to end, and keep what they send."""
        until = time.monotonic() + TO_STOP
        while self._under_way and time.monotonic() < until:
            for reference in self._ready():
                cell = self._under_way.pop(reference)
                try:
                    outcome = _outcome(reference)
                except Exception:  # it had not begun, or has nothing to save
                    continue
                write_files(self._runs / cell.name, outcome.files)


def _outcome(reference: Any) -> Outcome:
    answer = pickle.loads(ray.get(reference))
    if isinstance(answer, Exception):
        raise answer
    outcome: Outcome = answer
    return outcome


def _told(error: Exception) -> str:
    """Say in a line why a worker sent nothing back."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RayError | DeadCellError):
        return f"its worker died {TRIES} times: {first_line(cause)}"
    return first_line(cause if isinstance(cause, Exception) else error)


@contextmanager
def _connected(plan: Plan, threads: int) -> Iterator[None]:
    """Start Ray on this machine, or connect to a cluster; in the end stop it, or disconnect."""
    if plan.ray is not None:
        _try_to_connect(plan.ray)
        options: dict[str, Any] = {"address": plan.ray}
    else:
        cpus = (plan.workers or 1) * threads
        options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        options["_system_config"] = WITHOUT_MONITOR
    before = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with warnings.catch_warnings(), _own_handlers():
            warnings.simplefilter("ignore")
            try:
                ray.init(**options, **QUIET)
            except Exception as error:  # Ray raises it, of no narrower type
                cure = f"leave out {spell('workers')}, or try again when the machine is less busy"
                raise RuntimeError(f"Ray does not start ({first_line(error)}): {cure}") from error
        yield
    finally:
        ray.shutdown()
        if before is None:
            os.environ.pop("RAY_USAGE_STATS_ENABLED", None)


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep the handlers of signals: Ray's would end this process, and nothing would be saved."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _try_to_connect(address: str) -> None:
    """Connect in another process first, which can be ended where Ray waits and waits.

    Raises:
        ValueError: it cannot connect.
    """
    cure = f"start one there with: ray start --head, and give {spell('ray')} HOST:PORT or auto"
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal() and int(port) < 2**16:
        try:
            socket.create_connection((host.strip("[]"), int(port)), 5).close()
        except OSError as error:
            why = error.strerror or str(error)
            raise ValueError(f"no Ray cluster answers at {address} ({why}): {cure}") from None
    elif address != "auto":
        raise ValueError(f"{address} is no address of a Ray cluster: {cure}")
    code = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=TO_CONNECT
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"no Ray cluster answers at {address} within {TO_CONNECT:.0f} s: {cure}"
        ) from None
    if done.returncode == 0:
        return
    if "Version mismatch" in done.stderr:
        lines = " ".join(done.stderr.partition("Version mismatch")[2].split())
        raise ValueError(
            f"the cluster at {address} has another version of Ray or Python ({lines.strip(': ')}): "
            "install the same on all machines"
        )
    last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    # newer versions ask for a token, which Ray takes from the user's folder only if it is told to
    raise ValueError(
        f"cannot use the Ray cluster at {address} ({last}): if it asks for a token, set "
        f"RAY_AUTH_MODE=token; else {cure}"
    )


@contextmanager
def _marked(runs: Path, alone: bool) -> Iterator[Path]:
    """Make a file that only those see who share the disk; remove that of a killed driver."""
    runs.mkdir(parents=True, exist_ok=True)
    for left in runs.glob(f"{MARK}*") if alone else ():
        left.unlink(missing_ok=True)
    mark = runs / f"{MARK}{token_hex(8)}"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)
