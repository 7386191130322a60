"""One process that helps while a report is made: it runs t-SNE, and draws figures.

Threads would take turns in the interpreter with the analyses. loky, a part of joblib, starts
processes that do not run the user's script again, as those of the standard library do.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from dacbn.analysis.rare_collection import collect_rarely

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

T = TypeVar("T")

IDLE = 60.0  # seconds without work after which the process ends, also where its parent was killed

# Where processes cannot be started: no semaphores, or inside of a daemonic process of a pool.
NO_PROCESS = (OSError, AssertionError, NotImplementedError, ImportError, RuntimeError)

Compute = Callable[[], Any]


class Begun(Generic[T]):
    """Work that another process does; without one, it is done when the result is asked for.

    Args:
        compute: the work.
        future: its result in the other process.
        meanwhile: does other work, while there is some, and returns whether there was.
    """

    def __init__(
        self,
        compute: Callable[[], T],
        future: Future[T] | None = None,
        meanwhile: Callable[[], bool] = bool,
    ) -> None:
        self._compute, self._future, self._meanwhile = compute, future, meanwhile

    def result(self) -> T:
        """Return the result, or raise the error of the work."""
        if self._future is None:
            return self._compute()
        while not self._future.done() and self._meanwhile():
            pass
        try:
            return self._future.result()
        except BrokenExecutor:  # ended from outside, such as for want of memory
            return self._compute()


class Help:
    """What is handed over to the other process, which starts with the first long work.

    Attributes:
        failed: the errors of work that was handed over, by what was made.
    """

    def __init__(self) -> None:
        self.failed: dict[Path, Exception] = {}
        self._process: ProcessPoolExecutor | None = None
        self._figures: list[tuple[Future[Any], Compute, Callable[[Any], object], Path]] = []

    def start(self, compute: Callable[[], T]) -> Begun[T]:
        """Begin long work, where there are cores for it."""
        if self._process is None and (os.cpu_count() or 1) > 1:
            with suppress(*NO_PROCESS):
                self._process = ProcessPoolExecutor(
                    1, timeout=IDLE, initializer=_begin, initargs=_looks()
                )
        return Begun(compute, self._give(compute), self._take_back)

    def finish(self, compute: Callable[[], T], use: Callable[[T], object], what: Path) -> None:
        """Hand work over, whose result is used at the end."""
        given = self._give(compute)
        if given is None:
            self._use(compute, use, what)
        else:
            self._figures.append((given, compute, use, what))

    def wait(self) -> None:
        """Do what is left, together with the other process, and use all results."""
        while self._take_back():
            pass
        for future, compute, use, what in self._figures:
            self._use(Begun(compute, future).result, use, what)

    def end(self) -> None:
        """End the other process after what it is doing; what it has not begun is left out."""
        for future, *_ in self._figures:
            future.cancel()
        if self._process is not None:
            self._process.shutdown()  # kill_workers fails in a thread where work was cancelled

    def _give(self, compute: Callable[[], T]) -> Future[T] | None:
        if self._process is None:
            return None
        try:
            given: Future[T] = self._process.submit(compute)
        except (BrokenExecutor, *NO_PROCESS):
            return None
        return given

    def _take_back(self) -> bool:
        """Do the last work that the other process has not begun; return whether there was any."""
        for number in reversed(range(len(self._figures))):
            future, compute, use, what = self._figures[number]
            if future.cancel():
                del self._figures[number]
                self._use(compute, use, what)
                return True
        return False

    def _use(self, compute: Callable[[], T], use: Callable[[T], object], what: Path) -> None:
        try:
            result = compute()
        except Exception as error:  # of any type: the rest can still be made
            self.failed[what] = error
        else:
            use(result)


_help: ContextVar[Help | None] = ContextVar("help", default=None)  # of each thread its own


@contextmanager
def another_process() -> Iterator[Help]:
    """Let another process help in a `with` block; at its end, all that was begun is finished.

    Yields:
        what is handed over, and what of it failed.
    """
    own = Help()
    token = _help.set(own)
    try:
        yield own
        own.wait()
    finally:
        _help.reset(token)
        own.end()


def start(compute: Callable[[], T]) -> Begun[T]:
    """Begin work of seconds in the process that helps.

    Args:
        compute: a function, or a partial one, that both processes can import.
    """
    own = _help.get()
    return Begun(compute) if own is None else own.start(compute)


def finish(compute: Callable[[], T], use: Callable[[T], object], what: Path) -> None:
    """Let the process that helps compute, if there is one, and use the result here, perhaps later.

    In a `with` block of `another_process`, an error of `compute` is kept there and ends nothing.

    Args:
        compute: as in `start`.
        use: called with the result.
        what: the file that is made, which names an error.
    """
    own = _help.get()
    if own is None:
        use(compute())
    else:
        own.finish(compute, use, what)


def _looks() -> "tuple[dict[str, Any], list[FontEntry]]":
    import matplotlib
    from matplotlib.font_manager import fontManager

    # to ask for the backend would choose one, and import pyplot
    asked = {str(name): each for name, each in dict.items(matplotlib.rcParams) if name != "backend"}
    return asked, fontManager.ttflist


def _begin(settings: dict[str, Any], fonts: "list[FontEntry]") -> None:
    """Draw as the process that asks does, whose user may have chosen settings and added fonts."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    matplotlib.rcParams.update(settings)  # type: ignore[arg-type]  # its names are literals
    fontManager.ttflist = fonts
    collect_rarely()
