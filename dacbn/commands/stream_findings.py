"""What a benchmark of streams found, in sentences."""

from collections.abc import Mapping, Sequence
from math import isclose
from statistics import fmean

from dacbn.benchmarks.stream_cell import TRAINED, Row
from dacbn.commands.stream_intervals import Seeds, difference, is_clear, written
from dacbn.commands.stream_tables import BATCH, by_stream, candidate, different, error_of

SHOWN = 3  # of those that share the least error
CALLED = {TRAINED: "the source", BATCH: f"the statistics of each batch ({BATCH})"}
INTERVALS = (
    "In brackets or after ±: 95 % intervals, over seeds, or by the different images of one seed: "
    "where there is one, and where seeds share images or have the same errors and it is wider. "
    "Where the interval of a difference holds 0, the difference may be chance. The least error of "
    "many is partly so by chance, so that other images would show it a little larger."
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
        *_cautions(rows),
        *filter(None, (_tally(groups, reference) for reference in CALLED)),
    ]


def _cautions(rows: Sequence[Row]) -> list[str]:
    """Say where there are fewer different images than answers."""
    said = []
    if counts := different(rows):
        said.append(
            f"Images come several times, with different corruptions: a stream has {counts} "
            "different ones, and intervals by images count each once."
        )
    if shared := {place: n for row in rows for place, n in row.get("shared", {}).items()}:
        places = " and ".join(f"{place} ({n:,} images)" for place, n in shared.items())
        said.append(
            f"Seeds share most or all images of {places}: errors over seeds differ by their "
            "order more than by the images, so no interval is narrower than that by the images of "
            "one seed."
        )
    return said


def findings(rows: Sequence[Row]) -> list[str]:
    """Say for each stream what has the least error, and what cannot be told apart from it."""
    return [*(_least(stream, found) for stream, found in by_stream(rows).items()), INTERVALS]


def best_of(found: Mapping[str, Seeds]) -> list[str]:
    """Name the norms and methods with the least mean error over seeds."""
    means = {name: fmean(row["error"] for row in seeds) for name, seeds in found.items()}
    least = min(means.values())
    return [name for name, mean in means.items() if isclose(mean, least, abs_tol=1e-12)]


def _least(stream: str, found: Mapping[str, Seeds]) -> str:
    best = best_of(found)
    first, share = found[best[0]], len(best) > 1
    text = f"{stream}: {_listed(best)} {'share' if share else 'has'} the least error, "
    text += f"{error_of(first)} %."
    for name, called in CALLED.items():
        if name in found and name not in best:
            mean, interval = between = difference(found[name], first)
            text += f" {called[0].upper()}{called[1:]}: {error_of(found[name])} %,"
            text += f" {mean:.1f} points more"
            text += "" if interval is None else f" {written(interval)}"
            text += "." if is_clear(between) else ", which may be chance."
    others = [name for name in found if name not in best]
    alike = sum(not is_clear(difference(found[name], first)) for name in others)
    if others:
        text += f" {alike} of {_count(len(others), 'other')} cannot be told apart from "
        text += "them." if share else "it."
    return text


def _listed(names: Sequence[str]) -> str:
    """Name up to three, and count the others."""
    if len(names) > SHOWN:
        names = [*names[: SHOWN - 1], f"{len(names) - SHOWN + 1} others"]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _tally(groups: Mapping[str, Mapping[str, Seeds]], reference: str) -> str:
    """Count the streams in which the best is better than a reference by more than chance."""
    met = {
        stream: found for stream, found in groups.items() if reference in found and len(found) > 1
    }
    others = {
        stream: best[0]
        for stream, found in met.items()
        if reference not in (best := best_of(found))
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
