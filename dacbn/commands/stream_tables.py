"""Tables of the errors of streams, with intervals over seeds."""

from collections.abc import Sequence
from statistics import fmean

from dacbn.benchmarks.stream_cell import Row

INTERVALS = "over seeds, or, of a single one, by its images (Wilson)"


def candidate(row: Row) -> str:
    """Name the norm and method of a row."""
    return str(row["norm"]) if row["method"] is None else f"{row['norm']} + {row['method']}"


def column(row: Row) -> str:
    """Name the protocol and batch size of a row."""
    return f"{row['protocol']} {row['batch_size']}"


def table_of_errors(rows: Sequence[Row]) -> str:
    """Return a table of errors in %: a row for each norm and method, a column for each protocol.

    Args:
        rows: of `dacbn.benchmarks.stream_cells.run_cell`.
    """
    from dacbn.benchmarks import table

    columns = list(dict.fromkeys(map(column, rows)))
    lines = []
    for name in dict.fromkeys(map(candidate, rows)):
        line: Row = {"norm": name}
        for each in columns:
            chosen = [r for r in rows if candidate(r) == name and column(r) == each]
            line[each] = _mean(chosen)
        lines.append(line)
    return f"Errors in %, with the 95 % interval {INTERVALS}.{_about(rows)}\n\n{table(lines)}"


def table_of_parts(rows: Sequence[Row]) -> str:
    """Return a table of the errors in % of each part and of the last tenth of the stream."""
    from dacbn.benchmarks import table

    lines = []
    for each in dict.fromkeys(map(column, rows)):
        for name in dict.fromkeys(map(candidate, rows)):
            chosen = [r for r in rows if candidate(r) == name and column(r) == each]
            if chosen:
                line: Row = {"stream": each, "norm": name}
                for part in chosen[0]["parts"]:
                    line[part] = 100 * fmean(row["parts"][part] for row in chosen)
                line["last tenth"] = 100 * fmean(row["last_tenth"] for row in chosen)
                lines.append(line)
    return f"Errors in % by part, means over seeds.{_about(rows)}\n\n{table(lines)}"


def _mean(rows: Sequence[Row]) -> str:
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
