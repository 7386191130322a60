"""Log records beside a bar: on a terminal each has a line of its own, and the bar stays last."""

import io
import logging
import sys
import types

import pytest
from terminal import Terminal
from tqdm import tqdm

from dacbn import progress
from dacbn.log_between_bars import log_between_bars
from dacbn.progress import Progress


@pytest.fixture
def show(monkeypatch):
    """Build a function that puts an output in place of stderr, with a logger that prints to it.

    It is called in the test, as pytest takes stderr back after its fixtures.
    """
    root, added = logging.getLogger(), []
    level = root.level

    def begin(output):
        monkeypatch.setattr(sys, "stderr", output)
        added.append(logging.StreamHandler(sys.stderr))  # as `logging.basicConfig` makes it
        root.addHandler(added[0])
        root.setLevel(logging.INFO)
        return output, logging.getLogger("dacbn.training.loop")

    yield begin
    root.removeHandler(added[0])
    root.setLevel(level)


def test_records_have_lines_of_their_own_and_the_bar_follows(show):
    terminal, log = show(Terminal())
    with Progress(4, "step", "training", stays=True) as work:
        work.update()
        log.info("a first line")
        work.update()
        log.warning("a second line, which is longer than the bar: " + "x" * 200)
        work.update(2)
    log.info("a last line")
    lines = terminal.lines()
    assert lines[0] == "a first line" and lines[1].endswith("x" * 200) and len(lines) == 4
    assert lines[2:] == [lines[2], "a last line"] and lines[2].startswith("training: 100%")


def test_bars_within_bars_are_kept_apart_too(show, monkeypatch):
    terminal, log = show(Terminal())
    monkeypatch.setattr(progress, "BAR_AFTER", 0.0)
    with tqdm(total=2, desc="seeds", file=sys.stderr) as outer:
        with Progress(4, "step", "training", stays=False) as work:
            work.update()
            log.info("a line")
            work.update(3)
        outer.update(2)
    lines = terminal.lines()
    assert lines[0] == "a line" and [line[:5] for line in lines[1:] if line] == ["seeds"]


def test_a_line_before_a_late_bar_leaves_none_behind(show):
    terminal, log = show(Terminal())
    with Progress(4, "image", "reading") as work:
        work.update()
        log.info("a line")
    assert terminal.lines() == ["a line"]


def test_levels_files_and_handlers_are_as_before(show, tmp_path):
    terminal, log = show(Terminal())
    root = logging.getLogger()
    file, quiet = logging.FileHandler(tmp_path / "log.txt"), logging.StreamHandler(sys.stderr)
    quiet.setLevel(logging.ERROR)
    added = [file, quiet]
    for each in added:
        root.addHandler(each)
    before = list(root.handlers)
    with Progress(4, "step", "training", stays=True), log_between_bars():
        assert root.handlers == before
        log.info("for all but one")
    for each in added:
        root.removeHandler(each)
    file.close()
    assert (tmp_path / "log.txt").read_text() == "for all but one\n"
    assert terminal.getvalue().count("for all but one") == 1
    assert not any("emit" in vars(each) for each in before)


def test_without_a_terminal_nothing_is_touched(show):
    output, _ = show(io.StringIO())
    handler = logging.getLogger().handlers[-1]
    with Progress(4, "step", "training", stays=True):
        assert handler.stream is output and "emit" not in vars(handler)
    assert output.getvalue() == ""


def test_a_notebook_shows_a_bar_though_it_is_no_terminal(show):
    kernel = types.new_class("OutStream", (io.StringIO,))
    kernel.__module__ = "ipykernel.iostream"
    output, _ = show(kernel())
    with Progress(4, "step", "training", stays=True) as work:
        work.update(4)
    assert "training: 100%" in output.getvalue()
