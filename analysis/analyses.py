"""The analyses of a report.

Each is one file that registers itself:

    @analyses.add("calibration", order=16, needs=("outputs", "folder"))
    def draw_calibration(outputs, folder): ...

The needs are attributes of `RunResults`, passed as arguments of the same names. Results that
several analyses need are computed once. A ValueError means that the analysis does not apply. An
analysis with `meanwhile` waits for a result that another process computes while the others run.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from inspect import signature
from typing import NamedTuple, TypeVar

from threadpoolctl import threadpool_limits

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
        meanwhile: whether its results are asked for before the other analyses run, and it is run
            after them.
    """

    draw: Draw
    order: float
    needs: tuple[str, ...]
    optional: tuple[str, ...]
    meanwhile: bool = False

    @property
    def results(self) -> tuple[str, ...]:
        """All results that it takes."""
        return (*self.needs, *self.optional)


class Analyses(Registry[Analysis]):
    """A registry of analyses, in the order of the report."""

    def add(
        self,
        name: str,
        *,
        order: float,
        needs: tuple[str, ...],
        optional: tuple[str, ...] = (),
        meanwhile: bool = False,
    ) -> Callable[[DrawT], DrawT]:
        """Register the decorated function as an analysis; see `Analysis` for the arguments.

        Raises:
            ValueError: the name is taken, or the function has no argument for one of the needs.
        """

        def keep(draw: DrawT) -> DrawT:
            arguments = signature(draw).parameters
            analysis = Analysis(draw, order, needs, optional, meanwhile)
            if unknown := [need for need in analysis.results if need not in arguments]:
                raise ValueError(f"{self.kind} {name!r} has no argument {', '.join(unknown)}")
            self.register(name)(analysis)
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
        write_new = _without_repeated_reasons(write)
        late = [name for name in self if self[name].meanwhile]
        for name in late:
            for result in self[name].results:
                getattr(results, result)
        drawn: dict[str, Section | list[Section] | None] = {}
        with _leaving_a_core() if late else nullcontext():
            for name in sorted(self, key=lambda name: self[name].meanwhile):
                drawn[name] = _draw(name, self[name], results, write_new)
        found = [drawn[name] for name in self]
        return [each for part in found for each in _listed(part)]


def _listed(drawn: Section | list[Section] | None) -> list[Section]:
    return [] if drawn is None else [drawn] if isinstance(drawn, Section) else drawn


@contextmanager
def _leaving_a_core() -> Iterator[None]:
    """Leave one core to another process in a `with` block; threads that share one wait long."""
    with threadpool_limits(max(1, (os.cpu_count() or 1) - 1)):
        yield


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
