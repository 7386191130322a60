"""The table of a grid's cells: on a terminal under the bar, elsewhere not at all."""

import sys

import pytest
from terminal import Terminal

from dacbn.comparison.cell_table import LISTED, CellTable, Counts, table_lines
from dacbn.progress import Progress


def test_counts_end_and_running_cells_are_shown(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(12, "cell", "comparing", stays=True) as progress, CellTable(2) as table:
        assert table.is_shown and progress.seconds_left() is None
        table.show(Counts(2, 10, 0, 0), progress.seconds_left(), {"one": 3.0, "two": 5.0})
        progress.update()
        table.show(Counts(2, 9, 1, 0), 60.0, {"two": 8.0, "three": 1.0})
        bar, header, row, *running = terminal.lines()
        assert bar.startswith("comparing:")
        assert header.split() == ["running", "waiting", "done", "failed", "left", "ends", "at"]
        assert row.split()[:6] == ["2", "9", "1", "0", "60", "s"] and ":" in row.split()[-1]
        assert running == ["two, for 8 s", "three, for 1 s"]
        progress.show("1 done")
    (line,) = filter(None, terminal.lines())
    assert line.startswith("comparing:")


def test_into_a_pipe_nothing_is_written(capsys):
    with CellTable(2) as table:
        table.show(Counts(1, 1, 0, 0), None, {"one": 1.0})
    assert not table.is_shown and capsys.readouterr() == ("", "")


def test_many_running_cells_are_counted():
    running = {str(number): 1.0 for number in range(LISTED + 5)}
    lines = table_lines(Counts(len(running), 0, 0, 0), 1e5, running)
    assert len(lines) == 2 + LISTED + 1 and lines[-1] == "and 5 more"
    with pytest.raises(ValueError):
        float(lines[1].split()[-1])
