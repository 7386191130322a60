"""What a benchmark of streams found, in sentences."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from dacbn.benchmarks.stream_cell import TRAINED, Row
from dacbn.commands.stream_tables import BATCH, by_stream, candidate, error_of

Seeds = Sequence[Row]  # rows of one stream, norm and method
Difference = tuple[float, tuple[float, float] | None]
CALLED = {TRAINED: "the source", BATCH: f"the statistics of each batch ({BATCH})"}
INTERVALS = (
    "In brackets or after ±: 95 % intervals, over seeds, or of one seed by its images. Where the "
    "interval of a difference holds 0, the difference may be chance. The least error of many is "
    "partly so by chance, so that other images would show it a little larger."
)


def opening(run: str, rows: Sequence[Row]) -> list[str]:
    """Say what was streamed, and how the best compares with the source and batch statistics."""
    groups = by_stream(rows)
    parts = dict.fromkeys(part for row in rows for part in row["parts"])
    seeds, pairs = ({row["seed"] for row in rows}, {*map(candidate, rows)})
    counts = sorted({row["images"] for row in rows if "images" in row})
    images = f" of {' or '.join(f'{each:,}' for each in counts)} images" if counts else ""
    return [
        f"The trained run {run} answered streams{images} in {_count(len(parts), 'part')}: "
        f"{', '.join(parts)}.",
        f"{_count(len(pairs), 'pair')} of norm and method answered {_count(len(groups), 'stream')} "
        f"(protocol, and images at a time: {', '.join(groups)}), with "
        f"{_count(len(seeds), 'seed')}.",
        *filter(None, (_tally(groups, reference) for reference in CALLED)),
    ]


def findings(rows: Sequence[Row]) -> list[str]:
    """Say for each stream what has the least error, and what cannot be told apart from it."""
    return [*(_least(stream, found) for stream, found in by_stream(rows).items()), INTERVALS]


def best_of(found: Mapping[str, Seeds]) -> str:
    """Name the norm and method with the least mean error over seeds."""
    return min(found, key=lambda name: fmean(row["error"] for row in found[name]))


def difference(ours: Seeds, theirs: Seeds) -> Difference:
    """Return the mean of ours - theirs over seeds, in points, and its 95 % interval.

    The interval of one seed is that of shares of different images, which is too wide rather than
    too narrow where both err on the same ones; None if the number of images is not known.
    """
    from dacbn.comparison.statistics import paired_difference
    from dacbn.intervals import newcombe

    first, second = ({row["seed"]: 100 * row["error"] for row in each} for each in (ours, theirs))
    found = paired_difference(first, second)
    if found is None:
        raise ValueError("no seed of both")
    if found.interval is not None or "images" not in ours[0]:
        return found.mean, found.interval
    count = ours[0]["images"]
    low, high = newcombe(ours[0]["error"], count, theirs[0]["error"], count)
    return found.mean, (100 * low, 100 * high)


def is_clear(between: Difference) -> bool:
    """Whether a difference is more than chance."""
    interval = between[1]
    return interval is not None and not interval[0] <= 0 <= interval[1]


def _least(stream: str, found: Mapping[str, Seeds]) -> str:
    best = best_of(found)
    text = f"{stream}: {best} has the least error, {error_of(found[best])} %."
    for name, called in CALLED.items():
        if name in found and name != best:
            mean, interval = between = difference(found[name], found[best])
            text += f" {called[0].upper()}{called[1:]}: {error_of(found[name])} %,"
            text += f" {mean:.1f} points more"
            text += "" if interval is None else f" ({interval[0]:.1f} to {interval[1]:.1f})"
            text += "." if is_clear(between) else ", which may be chance."
    others = [name for name in found if name != best]
    alike = sum(not is_clear(difference(found[name], found[best])) for name in others)
    if others:
        text += f" {alike} of {_count(len(others), 'other')} cannot be told apart from it."
    return text


def _tally(groups: Mapping[str, Mapping[str, Seeds]], reference: str) -> str:
    """Count the streams in which the best is better than a reference by more than chance."""
    met = {
        stream: found for stream, found in groups.items() if reference in found and len(found) > 1
    }
    others = {
        stream: best for stream, found in met.items() if (best := best_of(found)) != reference
    }
    if not met:
        return ""
    clear = sum(
        is_clear(difference(met[stream][reference], met[stream][best]))
        for stream, best in others.items()
    )
    text = f"In {clear} of {_count(len(met), 'stream')} the best errs less than {CALLED[reference]}"
    text += ", by more than chance"
    if clear < len(others):
        text += f"; in {len(others) - clear} the difference may be chance"
    if len(others) < len(met):
        text += f"; in {len(met) - len(others)} nothing is better"
    return text + "."


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"
