"""Print what a part of the package tells while it works."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Print(logging.Handler):
    """Print each line on stdout; unlike logging's own handler, raise if that is closed."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage())


@contextmanager
def printed(module: str) -> Iterator[None]:
    """Print the lines that a module logs, for as long as the context lasts."""
    logger, handler = logging.getLogger(module), _Print()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
