"""One process that helps while a report is made: it runs t-SNE, and draws figures when it is idle.

Threads would take turns in the interpreter with the analyses. loky, a part of joblib, starts
processes that do not run the user's script again, as those of the standard library do.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

import matplotlib
from joblib.externals.loky import ProcessPoolExecutor
from matplotlib.font_manager import FontEntry, fontManager

T = TypeVar("T")

Compute = Callable[[], Any]


class Help:
    """What is handed over to the other process, which starts with the first long work."""

    def __init__(self) -> None:
        self._process: ProcessPoolExecutor | None = None
        self._given: list[Future[Any]] = []
        self._unfinished: list[tuple[Future[Any], Compute, Callable[[Any], object]]] = []

    def start(self, compute: Callable[[], T]) -> Future[T]:
        """Begin long work; where there is one core, or no other process can be started, do it."""
        if self._process is None and (os.cpu_count() or 1) > 1:
            looks = dict(matplotlib.rcParams), fontManager.ttflist
            self._process = ProcessPoolExecutor(1, initializer=_take_looks, initargs=looks)
        return self._give(compute) or at_once(compute)

    def finish(self, compute: Callable[[], T], use: Callable[[T], object]) -> None:
        """Compute and use the result: later, if the other process has nothing else to do."""
        idle = all(future.done() for future in self._given)
        given = self._give(compute) if idle else None
        if given is None:
            use(compute())
        else:
            self._unfinished.append((given, compute, use))

    def wait(self) -> None:
        """Use the results of all that was handed over."""
        for future, compute, use in self._unfinished:
            try:
                result = future.result()
            except BrokenExecutor:  # ended from outside, such as for want of memory
                result = compute()
            use(result)

    def end(self) -> None:
        """End the other process."""
        if self._process is not None:
            self._process.shutdown(kill_workers=True)

    def _give(self, compute: Callable[[], T]) -> Future[T] | None:
        if self._process is None:
            return None
        try:
            self._given.append(self._process.submit(compute))
        except (BrokenExecutor, OSError):
            return None
        return self._given[-1]


_help: list[Help] = []


@contextmanager
def another_process() -> Iterator[None]:
    """Let another process help in a `with` block; at its end, all that was begun is finished."""
    _help.append(Help())
    try:
        yield
        _help[-1].wait()
    finally:
        _help.pop().end()


def start(compute: Callable[[], T]) -> Future[T]:
    """Begin work of seconds in the process that helps; without one, do it.

    Args:
        compute: a function, or a partial one, that both processes can import.
    """
    return _help[-1].start(compute) if _help else at_once(compute)


def finish(compute: Callable[[], T], use: Callable[[T], object]) -> None:
    """Compute in the process that helps if it is idle, and use the result here, perhaps later.

    Args:
        compute: as in `start`.
        use: called with the result.
    """
    if _help:
        _help[-1].finish(compute, use)
    else:
        use(compute())


def at_once(compute: Callable[[], T]) -> Future[T]:
    """Compute here; return the result, or the error, as if another process had."""
    found: Future[T] = Future()
    try:
        found.set_result(compute())
    except Exception as error:
        found.set_exception(error)
    return found


def _take_looks(settings: dict[str, Any], fonts: list[FontEntry]) -> None:
    """Draw as the process that asks does, whose user may have chosen settings and added fonts."""
    matplotlib.rcParams.update(settings)  # type: ignore[arg-type]  # its names are literals
    fontManager.ttflist = fonts
