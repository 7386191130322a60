"""One part of a report: sentences, pictures, figures and tables of one analysis."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dacbn.analysis.presentation.pictures import Gallery

Row = dict[str, str | float | int]


class Section(NamedTuple):
    """The result of an analysis.

    Attributes:
        title: the heading.
        findings: plain sentences with their evidence, the most important first.
        figures: PNG files; an SVG and the arrays behind the figure have the same stem.
        tables: by caption, rows with the same keys.
        galleries: pictures with what is said of them.
        plot: HTML of an interactive plot, made by `dacbn.analysis.presentation.plots`.
        terms: numbers that the section shows, each a name in `dacbn.analysis.presentation.terms`.
        folded: whether the page shows only the heading at first.
    """

    title: str
    findings: tuple[str, ...] = ()
    figures: tuple[Path, ...] = ()
    tables: dict[str, list[Row]] = {}  # noqa: RUF012  # never written to
    galleries: tuple[Gallery, ...] = ()
    plot: str = ""
    terms: tuple[str, ...] = ()
    folded: bool = False

    def without(self, said: Sequence[str]) -> Self:
        """Return the section without the sentences that are said before it."""
        return self._replace(findings=tuple(each for each in self.findings if each not in said))

    def without_failed(self, failed: Mapping[Path, str]) -> Self:
        """Return the section without figures that could not be drawn, and sentences with errors."""
        said = [
            f"The figure {figure.stem} could not be drawn: {failed[figure]}"
            for figure in self.figures
            if figure in failed
        ]
        kept = tuple(figure for figure in self.figures if figure not in failed)
        return self._replace(findings=(*self.findings, *said), figures=kept)

    @property
    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """The arrays behind the figures, by the stem of the figure and the name of the array."""
        read = {}
        for figure in self.figures:
            with np.load(figure.with_suffix(".npz")) as arrays:
                read[figure.stem] = dict(arrays)
        return read
