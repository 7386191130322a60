"""Signals that ask a process to end: a training saves first, and other work closes its files.

Schedulers send SIGTERM, SIGUSR1 or SIGUSR2 some time before they kill, the system sends SIGXCPU
every second after a limit of CPU time, and a terminal that closes sends SIGHUP.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from dacbn.processes import leads

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")
SIGNALS = [signal.Signals[name] for name in NAMES if name in signal.Signals.__members__]
PATIENCE = 2.0  # seconds in which further Ctrl-Cs are the same wish: fingers and terminals repeat


class InterruptedTraining(Exception):  # noqa: N818  # a request, not an error
    """A signal interrupted the training; with a run folder, a checkpoint was saved first.

    Args:
        text: the step that was reached.
        number: the signal.
    """

    def __init__(self, text: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.number = number


USUAL = (signal.SIG_DFL, signal.default_int_handler)

Handler = Callable[[int, FrameType | None], Any]


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def raising_stopped() -> Iterator[None]:
    """Raise `Stopped` where a signal arrives, so that files are closed and claims given back."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    previous = _handle(stop)
    try:
        yield
    finally:
        _restore(previous)


class Interrupt:
    """While active, a signal sets `requested`, says so on stderr, and ends nothing.

    A Ctrl-C that follows another one after `PATIENCE` acts as usual; other signals may be repeated.
    A signal that is ignored stays so, as SIGHUP under nohup, and so do a program's own handlers
    of others than SIGINT and SIGTERM. Outside the main thread, where Python does not allow signal
    handlers, it has no effect.

    Args:
        promise: what happens instead, as in "the training stops after this step".

    Attributes:
        requested: the first signal; None before it.
    """

    def __init__(self, promise: str = "the training stops after this step") -> None:
        self.requested: signal.Signals | None = None
        self._promise = promise
        self._since = 0.0
        self._previous: dict[signal.Signals, Any] = {}

    def _request(self, number: int, _: FrameType | None) -> None:
        if self.requested is None:
            self.requested, self._since = signal.Signals(number), time.monotonic()
            text = f"dacbn: {self.requested.name}: {self._promise}"
            again = "; Ctrl-C again does not wait for that" if number == signal.SIGINT else ""
            if leads():
                _say(text + again)
        elif number == signal.SIGINT and time.monotonic() - self._since > PATIENCE:
            signal.signal(number, self._previous[signal.SIGINT])
            signal.raise_signal(number)

    def __enter__(self) -> Self:
        self._previous = _handle(self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        _restore(self._previous)


def _handle(handler: Handler) -> dict[signal.Signals, Any]:
    """Install a handler for all signals that may be taken; return the previous ones."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, handler)
        for number in SIGNALS
        if _may_be_taken(number, signal.getsignal(number))
    }


def _may_be_taken(number: signal.Signals, handler: Any) -> bool:
    """Whether a signal is not ignored, nor handled by the program that dacbn is a part of."""
    if handler in (signal.SIG_IGN, None):  # None: installed by another language
        return False
    own = getattr(handler, "__module__", None) == __name__
    return own or handler in USUAL or number in (signal.SIGINT, signal.SIGTERM)


def _restore(previous: dict[signal.Signals, Any]) -> None:
    for number, handler in previous.items():
        signal.signal(number, handler)


def _say(text: str) -> None:
    """Write a line to stderr from a signal handler, which may have interrupted a print."""
    with suppress(OSError):  # the terminal may have closed
        os.write(2, f"\n{text}\n".encode())
