"""Tables of the errors of streams, with intervals over seeds."""

from collections.abc import Sequence
from statistics import fmean

from dacbn.benchmarks.stream_cell import TRAINED, Row
from dacbn.commands.stream_intervals import count_of, mean_error, written

BATCH = "prediction_time_batch_norm"  # the statistics of each batch
REFERENCES = (TRAINED, BATCH)
INTERVALS = (
    "over seeds (±), or, in brackets, by the different images of one seed (Wilson): of a single "
    "seed, and where seeds share images or have the same errors and it is wider"
)


def candidate(row: Row) -> str:
    """Name the norm and method of a row."""
    return str(row["norm"]) if row["method"] is None else f"{row['norm']} + {row['method']}"


def column(row: Row) -> str:
    """Name the protocol and batch size of a row."""
    return f"{row['protocol']} {row['batch_size']}"


def by_stream(rows: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """Group rows by `column` and then by `candidate`; a group has a row for each seed."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(column(row), {}).setdefault(candidate(row), []).append(row)
    return groups


def table_of_errors(rows: Sequence[Row]) -> str:
    """Return a table of errors in %: a row for each norm and method, a column for each protocol.

    Args:
        rows: of `dacbn.benchmarks.stream_cells.run_cell`.
    """
    from dacbn.benchmarks import table

    return f"{caption_of_errors(rows)}\n\n{table(errors(rows))}"


def table_of_parts(rows: Sequence[Row]) -> str:
    """Return a table of the errors in % of each part and of the last tenth of the stream."""
    from dacbn.benchmarks import table

    lines = [
        {"stream": stream, **line}
        for stream, of_stream in by_stream(rows).items()
        for line in errors_by_part(of_stream)
    ]
    return f"Errors in % by part{over_seeds(rows)}.{_about(rows)}\n\n{table(lines)}"


def over_seeds(rows: Sequence[Row]) -> str:
    """Say that numbers are means, where they are."""
    return ", means over seeds" if len({row["seed"] for row in rows}) > 1 else ""


def caption_of_errors(rows: Sequence[Row]) -> str:
    """Say what the table of errors holds."""
    return f"Errors in %, with the 95 % interval {INTERVALS}.{_about(rows)}"


def errors(rows: Sequence[Row]) -> list[Row]:
    """List the errors in % with their intervals, a line for each norm and method."""
    groups = by_stream(rows)
    return [
        {"norm": name} | {stream: error_of(found.get(name, [])) for stream, found in groups.items()}
        for name in dict.fromkeys(map(candidate, rows))
    ]


def errors_by_part(of_stream: dict[str, list[Row]]) -> list[Row]:
    """List the errors in % of each part and of the last tenth of one stream, means over seeds."""
    from dacbn.analysis.streams.part_names import part_name

    lines = []
    for name, chosen in of_stream.items():
        line: Row = {"norm": name}
        for part in chosen[0]["parts"]:
            line[part_name(part)] = 100 * fmean(row["parts"][part] for row in chosen)
        line["last tenth"] = 100 * fmean(row["last_tenth"] for row in chosen)
        lines.append(line)
    return lines


def error_of(rows: Sequence[Row]) -> str:
    """Write the mean error over seeds with its interval: ± over seeds, in brackets by images."""
    if not rows:
        return "-"
    mean, interval, over_seeds = mean_error(rows)
    if interval is None:
        return f"{mean:.1f}"
    return f"{mean:.1f} " + (f"± {interval[1] - mean:.1f}" if over_seeds else written(interval))


def _about(rows: Sequence[Row]) -> str:
    """Say how many images a stream has, and how often chance errs; nothing of older rows."""
    counts = sorted({row["images"] for row in rows if "images" in row})
    if not counts:
        return ""
    chance = 100 - 100 / max(row["classes"] for row in rows if "classes" in row)
    text = f" {' or '.join(f'{each:,}' for each in counts)} images"
    if repeated := different(rows):
        text += f", {repeated} different ones"
    return f"{text}; by chance {chance:.1f}."


def different(rows: Sequence[Row]) -> str:
    """Say how many different images streams have, where some come several times, corrupted."""
    known = [row for row in rows if "images" in row]
    if all(count_of(row) == row["images"] for row in known):
        return ""
    counts = sorted({*map(count_of, known)})
    return f"{counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "")
