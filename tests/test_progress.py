"""Progress: a bar on a terminal, elsewhere a plain line every so often."""

import logging

import pytest

from dacbn import progress
from dacbn.progress import LINE_EVERY, Progress, counted, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "dacbn")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_line_is_written_every_so_often(clock, lines):
    with Progress(100, "step", "training") as work:
        for _ in range(7):
            clock[0] += LINE_EVERY / 3
            work.show("loss 0.123")
            work.update()
    assert lines() == [
        "training: step 3 of 100, 10 s a step, 16 min left, loss 0.123",
        "training: step 6 of 100, 10 s a step, 16 min left, loss 0.123",
    ]


def test_what_was_done_before_is_not_timed(clock, lines):
    with Progress(100, "step", "training", done=50) as work:
        clock[0] += LINE_EVERY
        work.update(10)
    assert lines() == ["training: step 60 of 100, 3 s a step, 2 min left"]


def test_fast_work_is_counted_per_second(clock, lines):
    items = (clock.__setitem__(0, clock[0] + LINE_EVERY / 2000) or n for n in range(4000))
    assert list(counted(items, 4000, "image", "reading images")) == list(range(4000))
    assert lines()[0] == "reading images: image 2000 of 4000, 67 images/s, 30 s left"


def test_short_work_writes_nothing(clock, lines, capfd):
    with Progress(3, "image", "predicting") as work:
        work.update(3)
    assert lines() == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *[(0, "1 s"), (0.6, "1 s"), (59.6, "60 s"), (99.4, "99 s"), (99.9, "2 min")],
        *[(150, "2 min"), (5990, "1 h 40 min"), (7199, "2 h 0 min"), (86400, "1 d 0 h")],
        *[(23.4 * 3600, "23 h 24 min"), (100 * 3600, "4 d 4 h")],
    ],
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words
