"""The end of a command that a signal has stopped."""

import signal
import sys
from typing import NoReturn

from dacbn.plain_text import say
from dacbn.printed_log import silence


def end_stopped(stop: BaseException, text: str) -> NoReturn:
    """Say what is saved, if anyone listens, and exit as shells expect: with 128 + the signal."""
    try:
        say(text)
    except OSError:  # the terminal has closed
        silence(sys.stdout)
    raise SystemExit(128 + getattr(stop, "number", signal.SIGINT))
