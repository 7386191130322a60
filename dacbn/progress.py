"""Progress of long work: a bar on a terminal or in a notebook, and log records for other output.

Lines are records of the logger `dacbn.progress`, at level INFO. The command line prints them where
its output is no terminal; in Python, `logging.basicConfig(level="INFO")` does.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm.auto import tqdm

from dacbn.log_between_bars import log_between_bars
from dacbn.processes import leads

T = TypeVar("T")

LINE_EVERY = 30.0  # seconds between lines
BAR_AFTER = 1.0  # seconds; shorter work needs no bar
LOGGER = logging.getLogger(__name__)


class Progress:
    """Count what is done of some work, and show it.

    Args:
        total: units of the work.
        unit: what is counted.
        title: the work.
        done: units that were done before.
        stays: whether the bar stays on the terminal, from the start to after the end.
    """

    def __init__(
        self, total: int, unit: str, title: str, done: int = 0, stays: bool = False
    ) -> None:
        self.done, self._total, self._unit, self._title = done, total, unit, title
        self._begun_with = done
        self._started = self._said = time.monotonic()
        self._shown, self._stays = "", stays
        self._bar: Any = None
        self._open = ExitStack()
        if stays:
            self._draw()

    def _draw(self) -> None:
        """Begin the bar. tqdm's `delay` leaves one behind if other text came before it."""
        self._bar = tqdm(
            total=self._total,
            initial=self.done,
            unit=self._unit,
            desc=self._title,
            leave=self._stays,
            disable=(False if _is_notebook() else None) if leads() else True,
        )
        self._open.callback(self._bar.close)
        if not self._bar.disable:
            self._open.enter_context(log_between_bars())

    def show(self, text: str) -> None:
        """Show some words after the counts, from the next update on."""
        self._shown = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def update(self, count: int = 1, quiet: bool = False) -> None:
        """Count units that were done; `quiet` writes no line."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._started >= BAR_AFTER:
            self._draw()
            self.show(self._shown)
        if not quiet and time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            LOGGER.info(self.line())

    def line(self) -> str:
        """Describe what is done, at which speed, and the time left."""
        each = self._each()
        words = [
            f"{self._title}: {self._unit} {self.done} of {self._total}",
            f"{each:.2g} s a {self._unit}" if each > 0.1 else f"{1 / each:.0f} {self._unit}s/s",
            f"{self.time_left()} left",
        ]
        return ", ".join([*words, *filter(None, [self._shown])])

    def time_left(self) -> str:
        """Estimate the time that the rest takes."""
        return duration(self._each() * (self._total - self.done))

    def seconds_left(self) -> float | None:
        """Estimate the same in seconds; None as long as nothing is done."""
        begun = self.done > self._begun_with
        return self._each() * (self._total - self.done) if begun else None

    def _each(self) -> float:
        """Return the seconds that a unit has taken."""
        return (time.monotonic() - self._started) / max(self.done - self._begun_with, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._open.close()


def _is_notebook() -> bool:
    """Whether stderr ends in a notebook, which is no terminal and shows bars all the same."""
    return type(sys.stderr).__module__.startswith("ipykernel")


def counted(items: Iterable[T], total: int, unit: str, title: str) -> Iterator[T]:
    """Yield items, and show how many were."""
    with Progress(total, unit, title) as progress:
        for item in items:
            yield item
            progress.update()


def duration(seconds: float) -> str:
    """Write a duration in words, with two digits or two units.

    Example:
        >>> duration(0.3), duration(42), duration(125), duration(9000), duration(1e5)
        ('1 s', '42 s', '2 min', '2 h 30 min', '1 d 4 h')
    """
    if round(seconds) < 100:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours = round(minutes / 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{minutes // 60} h {minutes % 60} min"
