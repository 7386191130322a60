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


def describe_score(numbers: Mapping[str, float], domain: str, num_classes: int = 0) -> str:
    """Write an accuracy with its 95 % interval, the number of images, and what chance reaches.

    What is not known is left out, and the last for 0 classes.

    Example:
        >>> numbers = {"target_test_accuracy": 0.5, "target_test_images": 100.0}
        >>> describe_score(numbers, "target", num_classes=10)
        '50.0% (40.4 to 59.6; 100 images, chance 10.0%)'
    """
    count, interval = numbers.get(NUM_IMAGES[domain]), interval_of(numbers, domain)
    about = [f"{count:,.0f} image" + "s" * (count != 1)] if count else []
    about += [f"chance {1 / num_classes:.1%}"] if num_classes else []
    about = [", ".join(about)] if about else []
    if interval is not None:
        about.insert(0, f"{100 * interval.low:.1f} to {100 * interval.high:.1f}")
    return f"{numbers[TEST_ACCURACY[domain]]:.1%}" + (f" ({'; '.join(about)})" if about else "")


def by_domain(numbers: Mapping[str, float], name: str) -> dict[str, float]:
    """Return a score by the names of the domains, if there are several."""
    start = f"{name}{OF_DOMAIN}"
    return {key.removeprefix(start): numbers[key] for key in numbers if key.startswith(start)}
