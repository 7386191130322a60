"""Pages of where statistics went during streams: a figure and tables for each norm that follows."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dacbn.benchmarks.stream_cell import Cell
from dacbn.plain_text import plain
from dacbn.training import write_text

if TYPE_CHECKING:
    from dacbn.streams import StreamPath

PAGE = "path.md"


def chosen(cells: Iterable[Cell]) -> list[Cell]:
    """Choose of each norm the first cell that mixes the parts, and the first that does not."""
    from dacbn.benchmarks.protocols import PROTOCOLS

    first: dict[tuple[str, bool], Cell] = {}
    for cell in cells:
        first.setdefault((cell.norm, PROTOCOLS[cell.protocol].mixed), cell)
    return [*first.values()]


def write_paths(
    cells: Sequence[Cell], folder: Path, record: "Callable[[Cell], StreamPath | None]"
) -> list[str]:
    """Write a folder for each cell whose statistics follow; what is there already stays.

    Args:
        cells: see `chosen`.
        folder: of the folders.
        record: runs a cell.

    Returns:
        the pages, in Markdown.
    """
    from dacbn.progress import Progress

    pages = []
    with Progress(len(cells), "norm", "recording statistics") as progress:
        for cell in cells:
            place = folder / named(cell)
            if not (place / PAGE).exists() and (path := record(cell)) is not None:
                place.mkdir(parents=True, exist_ok=True)
                write_text(place / PAGE, page(path, place))
            if (place / PAGE).exists():
                pages.append((place / PAGE).read_text(encoding="utf-8"))
            progress.update()
    return pages


def named(cell: Cell) -> str:
    """Name the folder of a cell."""
    fields = [str(value) for value in dataclasses.asdict(cell).values() if value is not None]
    return re.sub(r"[^\w.=,+-]+", "-", "-".join(fields)).strip("-.")


def page(path: "StreamPath", folder: Path) -> str:
    """Draw a path into a folder, and describe it in Markdown."""
    from dacbn.analysis.streams.path import draw_stream_path
    from dacbn.benchmarks import table

    section = draw_stream_path(path, folder)
    tables = [f"{caption}:\n\n{table(map(dict, rows))}" for caption, rows in section.tables.items()]
    sentences = "\n".join(f"- {plain(each)}" for each in section.findings)
    title = f"{section.title}: {folder.name}"
    figure = f"Figure: {folder.parent.name}/{folder.name}/{section.figures[0].name}"
    return "\n\n".join([title, sentences, *tables, figure])
