"""Print the log records of dacbn as plain lines, between the bars of a terminal."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from dacbn.plain_text import plain, silence
from dacbn.progress import LOGGER as PROGRESS

LOG = logging.getLogger("dacbn")


class _Lines(logging.Handler):
    """Print records; lines of progress are left out where a bar shows it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.INFO)
        self._stream = stream
        self._bars = stream.isatty() and sys.stderr.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        if self._bars and record.name == PROGRESS.name:
            return
        try:
            tqdm.write(plain(record.getMessage()), file=self._stream)
            self._stream.flush()
        except OSError:  # its reader has gone; the work goes on
            silence(self._stream)


@contextmanager
def printed_log(stream: TextIO) -> Iterator[None]:
    """Print the log records of dacbn to a stream, in a `with` block."""
    lines, level = _Lines(stream), LOG.level
    LOG.addHandler(lines)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(lines)
        LOG.setLevel(level)
