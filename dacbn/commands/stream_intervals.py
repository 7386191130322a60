"""Intervals of the errors of streams, over seeds or by images, whichever says more of chance."""

from collections.abc import Sequence
from statistics import fmean

from dacbn.benchmarks.stream_cell import Row

Seeds = Sequence[Row]  # rows of one stream, norm and method
Bounds = tuple[float, float]  # in points
Difference = tuple[float, Bounds | None]
FLAT = 1e-9  # points: a width of rounding


def mean_error(ours: Seeds) -> tuple[float, Bounds | None, bool]:
    """Return the mean error over seeds in %, its 95 % interval, and whether that is over seeds."""
    from dacbn.comparison.statistics import paired_difference
    from dacbn.intervals import wilson

    errors = {row["seed"]: 100 * row["error"] for row in ours}
    found = paired_difference(errors, dict.fromkeys(errors, 0.0))
    if found is None:
        raise ValueError("no seed")
    count = _different(ours)
    bounds = None if count is None else wilson(found.mean / 100, count)
    interval = _of(found.interval, bounds, ours)
    return found.mean, interval, interval is not None and interval is found.interval


def difference(ours: Seeds, theirs: Seeds) -> Difference:
    """Return the mean of ours - theirs over seeds, in points, and its 95 % interval.

    The interval by images is that of shares of different images, which is too wide rather than
    too narrow where both err on the same ones. It is used of one seed, and where the interval over
    seeds has no width, or is narrower while the seeds share images, which hides what other images
    would change. None if it is needed and the number of images is not known.
    """
    from dacbn.comparison.statistics import paired_difference
    from dacbn.intervals import newcombe

    first, second = ({row["seed"]: 100 * row["error"] for row in each} for each in (ours, theirs))
    found = paired_difference(first, second)
    if found is None:
        raise ValueError("no seed of both")
    count, both = _different(ours), first.keys() & second.keys()
    bounds = None
    if count is not None:
        shares = (fmean(each[seed] for seed in both) / 100 for each in (first, second))
        one, two = shares
        bounds = newcombe(one, count, two, count)
    return found.mean, _of(found.interval, bounds, ours)


def is_clear(between: Difference) -> bool:
    """Whether a difference is more than chance; one without any width says nothing of chance."""
    interval = between[1]
    return interval is not None and _width(interval) > FLAT and not interval[0] <= 0 <= interval[1]


def count_of(row: Row) -> int:
    """Return how many different images a row is of; 0 for older rows, which do not say."""
    counts = [int(row[name]) for name in ("different", "images") if name in row]
    return counts[0] if counts else 0


def written(bounds: Bounds) -> str:
    """Write an interval."""
    return f"({bounds[0]:z.1f} to {bounds[1]:z.1f})"


def _of(over_seeds: Bounds | None, by_images: Bounds | None, ours: Seeds) -> Bounds | None:
    """Choose the interval over seeds, or that by images (shares) where that is needed."""
    if by_images is None:
        return over_seeds
    by_images = 100 * by_images[0], 100 * by_images[1]
    if over_seeds is None:
        return by_images
    shared = any(row.get("shared") for row in ours)
    if shared or _width(over_seeds) <= FLAT:
        return max(over_seeds, by_images, key=_width)
    return over_seeds


def _different(ours: Seeds) -> int | None:
    """Return how many different images a seed answered, as far as the rows say."""
    return min(map(count_of, ours)) or None


def _width(bounds: Bounds) -> float:
    return bounds[1] - bounds[0]
