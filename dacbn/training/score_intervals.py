"""Intervals of recorded accuracies, from the numbers of images that are recorded beside them."""

from collections.abc import Mapping

from dacbn.intervals import Interval, mean_interval, wilson
from dacbn.training.metrics import NUM_IMAGES, OF_DOMAIN, TEST_ACCURACY


def interval_of(numbers: Mapping[str, float], domain: str) -> Interval | None:
    """Return the interval of an accuracy, or of the mean of domains; None without their images.

    Args:
        numbers: scores by name.
        domain: "source" or "target".
    """
    shares = by_domain(numbers, TEST_ACCURACY[domain])
    counts = by_domain(numbers, NUM_IMAGES[domain])
    if shares:
        known = all(counts.get(name, 0) for name in shares)
        return mean_interval([*shares.values()], [counts[n] for n in shares]) if known else None
    count = numbers.get(NUM_IMAGES[domain])
    return wilson(numbers[TEST_ACCURACY[domain]], count) if count else None


def by_domain(numbers: Mapping[str, float], name: str) -> dict[str, float]:
    """Return a score by the names of the domains, if there are several."""
    start = f"{name}{OF_DOMAIN}"
    return {key.removeprefix(start): numbers[key] for key in numbers if key.startswith(start)}
