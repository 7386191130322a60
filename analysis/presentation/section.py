"""One part of a report: sentences, figures and tables of one analysis."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Row = dict[str, str | float | int]


class Section(NamedTuple):
    """The result of an analysis.

    Attributes:
        title: the heading.
        findings: plain sentences with their evidence, the most important first.
        figures: PNG files; an SVG and the arrays behind the figure have the same stem.
        tables: by caption, rows with the same keys.
    """

    title: str
    findings: tuple[str, ...] = ()
    figures: tuple[Path, ...] = ()
    tables: dict[str, list[Row]] = {}  # noqa: RUF012  # never written to

    @property
    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """The arrays behind the figures, by the stem of the figure and the name of the array."""
        read = {}
        for figure in self.figures:
            with np.load(figure.with_suffix(".npz")) as arrays:
                read[figure.stem] = dict(arrays)
        return read
