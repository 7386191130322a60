"""Where statistics went during streams: what was recorded of each norm that follows."""

import dataclasses
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zipfile import BadZipFile

from dacbn.benchmarks.stream_cell import Cell
from dacbn.plain_text import plain

if TYPE_CHECKING:
    from dacbn.analysis.presentation.section import Section
    from dacbn.streams import StreamPath


class Recorded(NamedTuple):
    """What was recorded of a cell, and the figure of it (PNG)."""

    cell: Cell
    path: "StreamPath"
    figure: Path

    def section(self) -> "Section":
        """Return the section of the path."""
        from dacbn.analysis.streams.path import path_section

        return path_section(self.path, self.figure)


def chosen(cells: Iterable[Cell]) -> list[Cell]:
    """Choose of each norm the first cell that mixes the parts, and the first that does not."""
    from dacbn.benchmarks.protocols import PROTOCOLS

    first: dict[tuple[str, bool], Cell] = {}
    for cell in cells:
        first.setdefault((cell.norm, PROTOCOLS[cell.protocol].mixed), cell)
    return [*first.values()]


def write_paths(
    cells: Sequence[Cell], folder: Path, record: "Callable[[Cell], StreamPath | None]"
) -> list[Recorded]:
    """Draw into a folder for each cell whose statistics follow; what is there already stays.

    Args:
        cells: see `chosen`.
        folder: of the folders.
        record: runs a cell.

    Returns:
        what was recorded, now or before.
    """
    from dacbn.analysis.streams.path import STEM, draw_stream_path
    from dacbn.progress import Progress

    found = []
    with Progress(len(cells), "norm", "recording statistics") as progress:
        for cell in cells:
            arrays, *drawn = (
                folder / named(cell) / f"{STEM}.{kind}" for kind in ("npz", "png", "svg")
            )
            read = _read(arrays)
            path = record(cell) if read is None else read
            if path is not None:
                if read is None or not all(file.exists() for file in drawn):
                    arrays.parent.mkdir(parents=True, exist_ok=True)
                    draw_stream_path(path, arrays.parent)
                found.append(Recorded(cell, path, drawn[0]))
            progress.update()
    return found


def _read(arrays: Path) -> "StreamPath | None":
    """Read what was recorded; None where it was not, or where the file is damaged."""
    from dacbn.analysis.streams.saved_path import read_path
    from dacbn.progress import LOGGER

    try:
        return read_path(arrays)
    except FileNotFoundError:
        return None
    except (BadZipFile, zlib.error, EOFError, KeyError, TypeError, ValueError):
        LOGGER.warning(f"{arrays} is damaged: the statistics are recorded again")
        return None


def named(cell: Cell) -> str:
    """Name the folder of a cell."""
    fields = [str(value) for value in dataclasses.asdict(cell).values() if value is not None]
    return re.sub(r"[^\w.=,+-]+", "-", "-".join(fields)).strip("-.")


def page(recorded: Recorded) -> str:
    """Describe a path in Markdown."""
    from dacbn.benchmarks import table

    section, folder = recorded.section(), recorded.figure.parent
    tables = [f"{caption}:\n\n{table(map(dict, rows))}" for caption, rows in section.tables.items()]
    sentences = "\n".join(f"- {plain(each)}" for each in section.findings)
    title = f"{section.title}: {folder.name}"
    figure = f"Figure: {folder.parent.name}/{folder.name}/{recorded.figure.name}"
    return "\n\n".join([title, sentences, *tables, figure])
