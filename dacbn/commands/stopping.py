"""The end of a command that a signal has stopped."""

import signal
from typing import NoReturn

from dacbn.plain_text import say


def end_stopped(stop: BaseException, text: str) -> NoReturn:
    """Say what is saved, and exit as shells expect: with 128 + the number of the signal."""
    say(text)
    raise SystemExit(128 + getattr(stop, "number", signal.SIGINT))
