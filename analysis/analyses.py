"""The analyses of a report.

Each is one file that registers itself:

    @analyses.add("calibration", order=16, needs=("outputs", "folder"))
    def draw_calibration(outputs, folder): ...

The needs are attributes of `RunResults`, passed as arguments of the same names. Results that
several analyses need are computed once. A ValueError means that the analysis does not apply.
"""

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from typing import NamedTuple, TypeVar

from dacbn.analysis.presentation.section import Section
from dacbn.analysis.progress import WriteLine, try_analysis
from dacbn.registry import Registry

Draw = Callable[..., Section | list[Section]]
DrawT = TypeVar("DrawT", bound=Draw)


class Analysis(NamedTuple):
    """One part of a report.

    Attributes:
        draw: saves figures and returns the section, or several.
        order: sections are sorted by it.
        needs: results without which the analysis is left out.
        optional: results that are passed as None if they are missing.
    """

    draw: Draw
    order: float
    needs: tuple[str, ...]
    optional: tuple[str, ...]


class Analyses(Registry[Analysis]):
    """A registry of analyses, in the order of the report."""

    def add(
        self, name: str, *, order: float, needs: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> Callable[[DrawT], DrawT]:
        """Register the decorated function as an analysis; see `Analysis` for the arguments.

        Raises:
            ValueError: the name is taken, or the function has no argument for one of the needs.
        """

        def keep(draw: DrawT) -> DrawT:
            arguments = signature(draw).parameters
            if unknown := [need for need in (*needs, *optional) if need not in arguments]:
                raise ValueError(f"{self.kind} {name!r} has no argument {', '.join(unknown)}")
            self.register(name)(Analysis(draw, order, needs, optional))
            return draw

        return keep

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(super().__iter__(), key=lambda name: self[name].order))

    def draw(self, results: object, write: WriteLine) -> list[Section]:
        """Run every analysis that applies; write its time, or the reason why it was left out.

        Args:
            results: object whose attributes are the results; None is a missing result.
            write: called with each line.
        """
        sections: list[Section] = []
        write_new = _without_repeated_reasons(write)
        for name in self:
            drawn = _draw(name, self[name], results, write_new)
            if drawn is not None:
                sections += [drawn] if isinstance(drawn, Section) else drawn
        return sections


def _without_repeated_reasons(write: WriteLine) -> WriteLine:
    """Write lines, but the reason why analyses were left out once."""
    said: set[str] = set()

    def write_new(line: str) -> None:
        name, _, reason = line.partition(": left out: ")
        write(f"{name}: left out, as said above" if reason in said else line)
        said.update(filter(None, [reason]))

    return write_new


def _draw(
    name: str, analysis: Analysis, results: object, write: WriteLine
) -> Section | list[Section] | None:
    found = {}
    for need in analysis.needs:
        found[need] = getattr(results, need)
        if found[need] is None:
            write(f"{name}: left out: it needs {need.replace('_', ' ')}")
            return None
        if isinstance(found[need], tuple) and not found[need]:
            return None  # the user asked for none, such as layers
    found |= {need: getattr(results, need) for need in analysis.optional}
    return try_analysis(name, partial(analysis.draw, **found), write)


analyses = Analyses("analysis", "dacbn.analysis")
"""Analyses of one run; they need attributes of `RunResults`."""
comparisons = Analyses("comparison", "dacbn.analysis")
"""Analyses of several runs together; they need attributes of `ComparedResults`."""
