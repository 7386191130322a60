"""Tables of the errors of streams, with intervals over seeds."""

from collections.abc import Sequence
from statistics import fmean

from dacbn.benchmarks.stream_cell import TRAINED, Row

BATCH = "prediction_time_batch_norm"  # the statistics of each batch
REFERENCES = (TRAINED, BATCH)
INTERVALS = "over seeds, or, of a single one, by its images (Wilson)"


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
    return f"Errors in % by part, means over seeds.{_about(rows)}\n\n{table(lines)}"


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
    lines = []
    for name, chosen in of_stream.items():
        line: Row = {"norm": name}
        for part in chosen[0]["parts"]:
            line[part] = 100 * fmean(row["parts"][part] for row in chosen)
        line["last tenth"] = 100 * fmean(row["last_tenth"] for row in chosen)
        lines.append(line)
    return lines


def error_of(rows: Sequence[Row]) -> str:
    """Write the mean error over seeds with its interval; of one seed, that by its images."""
    from dacbn.comparison.statistics import paired_difference
    from dacbn.intervals import wilson

    errors = {row["seed"]: 100 * row["error"] for row in rows}
    found = paired_difference(errors, dict.fromkeys(errors, 0.0))
    if found is None:
        return "-"
    if found.interval is not None:
        return f"{found.mean:.1f} ± {found.interval[1] - found.mean:.1f}"
    if "images" not in rows[0]:
        return f"{found.mean:.1f}"
    low, high = (100 * each for each in wilson(rows[0]["error"], rows[0]["images"]))
    return f"{found.mean:.1f} ({low:.1f} to {high:.1f})"


def _about(rows: Sequence[Row]) -> str:
    """Say how many images a stream has, and how often chance errs; nothing of older rows."""
    counts = sorted({row["images"] for row in rows if "images" in row})
    if not counts:
        return ""
    chance = 100 - 100 / max(row["classes"] for row in rows if "classes" in row)
    return f" {' or '.join(f'{each:,}' for each in counts)} images; by chance {chance:.1f}."
