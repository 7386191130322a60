"""A part of a report: what was looked at, what it says, and the figures that show it."""

from pathlib import Path
from typing import NamedTuple

Row = dict[str, str | float | int]


class Section(NamedTuple):
    """What an analysis leaves.

    Args:
        title: a few words.
        findings: plain sentences with their evidence, the most important first.
        figures: PNG files; beside each lie an SVG and the arrays behind it, of the same stem.
        tables: by caption, rows with the same keys.
    """

    title: str
    findings: tuple[str, ...] = ()
    figures: tuple[Path, ...] = ()
    tables: dict[str, list[Row]] = {}  # noqa: RUF012  # never written to
