"""Train each cell in a process of its own, forked from one that has imported what trainings need.

Threads, seeds and flags of another training would stay in a process, and a new one imports for
seconds. Ray's workers import this file alone: tasks and answers pass through them as bytes.
"""

import os
import pickle
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from ray.experimental import internal_kv

# each optimiser imports torch's compiler, and each evaluation some of scikit-learn
ALWAYS = ("torch._dynamo", "sklearn.cluster", "sklearn.metrics", "dacbn.comparison.remote_cell")
SOMETIMES = ("timm", "torchvision")
POLL = 1.0  # seconds


class DeadCellError(Exception):
    """The process of a cell has ended, and sent nothing back."""


def to_import() -> list[str]:
    """Return the modules that cells need; this process has built their networks."""
    return ["__main__", *ALWAYS, *(name for name in SOMETIMES if name in sys.modules)]


def work(task: bytes, modules: Sequence[str], stop: bytes) -> bytes:
    """Train a cell in a new process, from one of Ray's; return its pickled outcome or exception.

    Args:
        task: the pickled task.
        modules: what the process to fork from imports, once for all cells of a worker.
        stop: the key by which the driver asks to save and end.

    Raises:
        DeadCellError: the process has died.
        InterruptedError: it has died because it was asked to end before it could save.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([*modules])
    here, there = context.Pipe(duplex=False)
    cell = context.Process(target=_train, args=(task, there, dict(os.environ)))
    cell.start()
    there.close()
    stopped = False
    try:
        while not here.poll(POLL):
            if not stopped and internal_kv._internal_kv_exists(stop):
                cell.terminate()  # `ray.cancel` drops what would be sent back
                stopped = True
        return here.recv_bytes()
    except (EOFError, OSError):  # it sent nothing, or a part
        cell.join()
        code = cell.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        raise (InterruptedError if stopped else DeadCellError)(how) from None
    finally:  # it has answered, or Ray ends the worker
        cell.terminate()
        cell.join()


def _train(task: bytes, there: Connection, environment: Mapping[str, str]) -> None:
    """Train a cell in this process, and send what comes of it."""
    os.environ.update(environment)  # the worker may have another GPU than for its first cell
    Thread(target=_end_with_worker, daemon=True).start()
    answer: Any
    try:
        cell = pickle.loads(task)
        from dacbn.comparison.remote_cell import train_remotely

        answer = train_remotely(cell)
    except Exception as error:
        answer = error
    with suppress(BrokenPipeError):  # the worker has died, and nobody listens
        there.send_bytes(pickle.dumps(answer))


def _end_with_worker() -> None:
    """Save and end when the worker dies: another one takes the cell."""
    worker = parent_process()
    if worker is not None:
        worker.join()
        os.kill(os.getpid(), signal.SIGTERM)
