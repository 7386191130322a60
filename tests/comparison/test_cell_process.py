"""What is told of a cell's process that trains nothing; cells that train are in `test_on_ray`."""

import os
import pickle
import signal
import time

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'dacbn[ray]'")

from dacbn.comparison import cell_process

STOP = b"stop"


class Calls:
    """A task that calls a function in the process of its cell, while it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def run(monkeypatch):
    def run(function, *arguments, keys=()):
        monkeypatch.setattr(cell_process.internal_kv, "_internal_kv_exists", keys.__contains__)
        return cell_process.work(pickle.dumps(Calls(function, *arguments)), [], STOP)

    monkeypatch.setattr(cell_process, "POLL", 0.05)
    return run


def test_a_dead_process_is_told_by_how_it_died(run):
    with pytest.raises(cell_process.DeadCellError, match="killed by SIGKILL"):
        run(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(cell_process.DeadCellError, match="ended with code 3"):
        run(os._exit, 3)


def test_a_cell_that_is_asked_to_stop_before_it_can_save_is_not_tried_again(run):
    with pytest.raises(InterruptedError, match="killed by SIGTERM"):
        run(time.sleep, 60, keys=(STOP,))


def test_exceptions_come_back(run):
    answer = pickle.loads(run(int, "none"))
    assert isinstance(answer, ValueError) and "'none'" in str(answer)
