"""The page of a benchmark of streams: sentences, tables, figures, and where statistics went."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dacbn.benchmarks.stream_cell import Row
from dacbn.commands.stream_findings import findings, opening
from dacbn.commands.stream_paths import Recorded
from dacbn.commands.stream_tables import (
    by_stream,
    candidate,
    caption_of_errors,
    column,
    errors,
    errors_by_part,
    over_seeds,
)

if TYPE_CHECKING:
    from dacbn.analysis.presentation.section import Section


MIXES = {True: "that mixes the parts", False: "that does not mix the parts"}


def write_stream_report(
    path: Path,
    run: Path,
    rows: Sequence[Row],
    figure: Path,
    recorded: Sequence[Recorded],
    settings: Mapping[str, Mapping[str, str]],
    commands: Sequence[str],
) -> None:
    """Write the page of a benchmark as one HTML file that needs no other files.

    Args:
        path: the file.
        run: the folder of the run.
        rows: of `dacbn.benchmarks.stream_cells.run_cell`.
        figure: of errors over time (PNG).
        recorded: where the statistics of norms went.
        settings: see `dacbn.analysis.presentation.html.write_report`.
        commands: that make the page again.
    """
    from dacbn.analysis.presentation.html import write_report
    from dacbn.analysis.presentation.section import Section

    by_part = {
        f"{stream}: errors in %{over_seeds(rows)}": errors_by_part(found)
        for stream, found in by_stream(rows).items()
    }
    sections = [
        Section("Least errors", tuple(findings(rows))),
        Section("Errors over time", figures=(figure,)),
        Section("Errors", tables={caption_of_errors(rows): errors(rows)}),
        Section("Errors by part", tables=by_part, folded=True),
        *_paths(recorded),
    ]
    title = f"{run.resolve().name} on streams of images"
    write_report(path, title, sections, settings, commands, opening(str(run), rows))


def _paths(recorded: Sequence[Recorded]) -> "list[Section]":
    from dacbn.analysis.presentation.section import Section
    from dacbn.analysis.streams.followed import MEANING, followed, takers
    from dacbn.analysis.streams.path import DISTANCES, distances, shown_layers
    from dacbn.benchmarks.protocols import PROTOCOLS

    if not recorded:
        return []
    sections, lines = [], []
    for each in recorded:
        cell = asdict(each.cell)
        lines.append({"stream": column(cell), "norm": candidate(cell), **followed(each.path)})
        shown, count = shown_layers(each.path), len(each.path.layers)
        section = each.section()
        said = section.findings + takers(each.path, shown)
        if len(shown) < count:
            said += (f"The figure and the shares are of {len(shown)} of {count} layers.",)
        tables = section.tables | {DISTANCES: distances(each.path, [*each.path.layers])}
        title = f"{candidate(cell)}, {column(cell)}"
        sections.append(section._replace(title=title, findings=said, tables=tables, folded=True))
    mixes = sorted({PROTOCOLS[each.cell.protocol].mixed for each in recorded}, reverse=True)
    caption = f"The first stream {', and the first '.join(MIXES[each] for each in mixes)}, of seed "
    caption += str(recorded[0].cell.seed)
    return [Section("Where the statistics went", (MEANING,), tables={caption: lines}), *sections]
