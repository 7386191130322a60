"""Log records that do not break the bars of a terminal.

tqdm's own `logging_redirect_tqdm` replaces the handlers of a logger by a single one, without their
levels, and prints what was meant for a file. Here handlers stay, and write between bars.
"""

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tqdm.auto import tqdm

LOGGERS = (logging.getLogger(), logging.getLogger("dacbn"))

_users: Counter[logging.Handler] = Counter()  # bars that a handler writes between


@contextmanager
def log_between_bars() -> Iterator[None]:
    """Let handlers that write to stdout or stderr clear the bars first, and draw them again."""
    handlers = [each for logger in LOGGERS for each in logger.handlers if _prints(each)]
    for each in handlers:
        if not _users[each]:
            each.emit = partial(_emit, each, each.emit)  # type: ignore[method-assign]
        _users[each] += 1
    try:
        yield
    finally:
        for each in handlers:
            _users[each] -= 1
            if not _users[each]:
                del _users[each]
                vars(each).pop("emit", None)


def _prints(handler: logging.Handler) -> bool:
    streams = (sys.stdout, sys.stderr)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams


def _emit(handler: Any, emit: Any, record: logging.LogRecord) -> None:
    with tqdm.external_write_mode(file=handler.stream):
        emit(record)
