"""Train a cell in a worker's process, in the run folder if it is here, or else in one for a while.

This file knows nothing of Ray; `on_ray` calls it there.
"""

import os
import platform
import tempfile
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from dacbn.comparison.cells import FAILED, MISSING, NOTE, run_cell
from dacbn.comparison.grid import Cell
from dacbn.comparison.machines import this_machine
from dacbn.spelling import Spelling, spelling
from dacbn.training import (
    FolderInUseError,
    InterruptedTraining,
    StorageError,
    raising_stopped,
    write_atomically,
)
from dacbn.training.checkpoint import CHECKPOINT
from dacbn.training.claim import LOCK
from dacbn.training.storage import first_line

PATIENCE = 60.0  # seconds for a worker of a comparison that was killed, to end


class Task(NamedTuple):
    """What a worker needs to know.

    Attributes:
        cell: the cell.
        folder: absolute path of its run folder.
        mark: absolute path of a file that shows that the folder is the driver's.
        begun: files of the run folder, by name, of a training that was begun.
        threads: threads to train with.
        place: the working directory, for relative paths in the settings.
        spelling: how messages spell settings.
    """

    cell: Cell
    folder: Path
    mark: Path
    begun: Mapping[str, bytes]
    threads: int
    place: Path
    spelling: Spelling


class Outcome(NamedTuple):
    """What a worker sends back.

    Attributes:
        state: finished, failed, or missing if a signal stopped it.
        text: its accuracy, or the error.
        machine: hardware and versions.
        warned: texts of warnings.
        files: files of the run folder, by name, where the driver does not see it.
    """

    state: str
    text: str
    machine: Mapping[str, str]
    warned: tuple[str, ...]
    files: Mapping[str, bytes]


def train_remotely(task: Task) -> Outcome:
    """Train a cell in this process, which trains nothing else, and return what came of it."""
    with suppress(OSError):  # another machine may have no such folder
        os.chdir(task.place)
    torch.set_num_threads(task.threads)
    torch.set_num_interop_threads(task.threads)
    with spelling(task.spelling), warnings.catch_warnings(record=True) as warned:
        if task.mark.exists():
            return _train(task, task.folder, warned, shared=True)
        with tempfile.TemporaryDirectory(prefix="dacbn-") as place:
            folder = Path(place) / task.cell.name
            write_files(folder, task.begun)
            return _train(task, folder, warned, shared=False)


def _train(
    task: Task, folder: Path, warned: list[warnings.WarningMessage], shared: bool
) -> Outcome:
    try:
        with raising_stopped():
            state, text = _when_free(task.cell, folder)
    except (InterruptedTraining, KeyboardInterrupt) as stop:
        state, text = MISSING, first_line(stop)
    except (FolderInUseError, StorageError) as error:  # of this machine alone, it may be
        state, text = FAILED, f"{platform.node()}: {first_line(error)}"
    texts = tuple(dict.fromkeys(str(each.message) for each in warned))
    files = {} if shared else read_files(folder, with_checkpoint=state == MISSING)
    return Outcome(state, text, this_machine(task.cell.config.device), texts, files)


def _when_free(cell: Cell, folder: Path) -> tuple[str, str]:
    """Train; wait first for a worker that is just ending, as that of a driver that was killed."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return run_cell(cell, folder)
        except FolderInUseError:
            if time.monotonic() > until:
                raise
            time.sleep(1)


def read_files(folder: Path, with_checkpoint: bool) -> dict[str, bytes]:
    """Return the files of a run folder by name; the checkpoint only if the training is to go on."""
    left_out = {LOCK} if with_checkpoint else {LOCK, CHECKPOINT}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left_out and path.suffix != ".part"
    }


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of a run folder, the note that it is finished last.

    Raises:
        StorageError: the folder cannot be written.
    """
    for name in sorted(files, key=lambda name: name == NOTE):
        write_atomically(folder / name, partial(_write, content=files[name]))


def _write(draft: Path, content: bytes) -> None:
    draft.write_bytes(content)
