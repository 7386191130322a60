"""Another process runs what it is given; results, errors and files are those of one process."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from dacbn.analysis.helping_process import another_process, finish, start
from dacbn.analysis.presentation.style import save_figure

WHAT = Path("made.png")


def figure():
    made = Figure(figsize=(2, 2), layout="constrained")
    axes = made.subplots()
    axes.plot([1, 2, 4], label="line $x$")
    axes.legend()
    axes.set_title("title", family="sans-serif")
    return made


@pytest.fixture(params=[1, 2])
def cores(request, monkeypatch):
    """Pretend to have a number of cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: request.param)
    return request.param


def test_long_work_runs_elsewhere_where_there_are_cores(cores):
    with another_process():
        here = start(os.getpid).result() == os.getpid()
    assert here == (cores == 1)
    assert start(os.getpid).result() == os.getpid()


def test_an_error_is_that_of_the_work(cores):
    with another_process():
        found = start(partial(int, "one"))
        with pytest.raises(ValueError, match="invalid literal"):
            found.result()


def test_an_error_of_work_that_was_handed_over_ends_nothing(cores):
    used = []
    with another_process() as helping:
        start(os.getpid).result()
        for word in ("one", "1", "two"):
            finish(partial(int, word), used.append, Path(word))
    assert used == [1] and set(helping.failed) == {Path("one"), Path("two")}
    assert all(isinstance(error, ValueError) for error in helping.failed.values())
    with pytest.raises(ValueError, match="invalid literal"):
        finish(partial(int, "one"), used.append, WHAT)


def test_figures_are_the_same_wherever_they_are_drawn(cores, tmp_path):
    settings = {"lines.linewidth": 5.0, "svg.fonttype": "none"}
    with matplotlib.rc_context(settings):
        alone = save_figure(figure(), tmp_path / "alone" / "a", {"x": np.ones(1)}, "caption")
        with another_process():
            start(os.getpid).result()
            files = save_figure(figure(), tmp_path / "a", {"x": np.ones(1)}, "caption")
            assert files[2].exists()
    assert [each.read_bytes() for each in files[:2]] == [each.read_bytes() for each in alone[:2]]


def test_work_of_a_process_that_was_killed_is_done_here():
    used = []
    with another_process():
        assert start(partial(end, os.getpid())).result() == os.getpid()
        finish(os.getpid, used.append, WHAT)
    with another_process():
        start(os.getpid).result()
        finish(partial(end, os.getpid()), used.append, WHAT)
    assert used == [os.getpid()] * 2


def test_work_that_waits_is_shared():
    done, here = [], os.getpid()
    with another_process():
        long = start(partial(time.sleep, 1))
        for number in range(6):
            finish(partial(work, number), done.append, WHAT)
        long.result()
        taken = len(done)
    assert sorted(number for number, _ in done) == list(range(6))
    assert taken >= 3 and all(process == here for _, process in done[:taken])


def work(number):
    """Return a number, and where it was asked for."""
    return number, os.getpid()


def end(asks):
    """End the process, unless it is the one that asks."""
    if os.getpid() != asks:
        os._exit(1)
    return os.getpid()


def test_the_other_process_needs_no_torch():
    code = (
        "import sys, dacbn.analysis.helping_process, dacbn.analysis.domains.tsne\n"
        "import dacbn.analysis.presentation.drawing\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
