"""Log records on the command line: lines of progress only where no bar shows them."""

import io
import logging
import sys

import pytest

from dacbn.printed_log import printed_log


class Output(io.StringIO):
    """An output that is a terminal or is none."""

    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("stdout", "stderr", "shown"),
    [(False, False, True), (False, True, True), (True, False, True), (True, True, False)],
)
def test_progress_is_written_where_no_bar_shows_it(monkeypatch, stdout, stderr, shown):
    output = Output(stdout)
    monkeypatch.setattr(sys, "stderr", Output(stderr))
    with printed_log(output):
        logging.getLogger("dacbn.progress").info("training: step 3 of 9")
        logging.getLogger("dacbn.training.forecast").info("about 5 h left\x1b[31m")
    lines = output.getvalue().splitlines()
    assert lines == [*["training: step 3 of 9"] * shown, "about 5 h left\\x1b[31m"]


def test_the_log_is_as_before_afterwards():
    log = logging.getLogger("dacbn")
    before = log.level, list(log.handlers)
    with printed_log(Output(False)):
        assert log.isEnabledFor(logging.INFO)
    assert (log.level, log.handlers) == before


def test_a_reader_that_has_gone_ends_nothing():
    class Gone(Output):
        def write(self, text):
            raise BrokenPipeError

    with printed_log(Gone(False)):
        logging.getLogger("dacbn").info("a line")
