"""What makes an estimate of accuracy not worth its name.

The limits are round numbers, chosen when eleven of the networks of RESULTS.md, "Accuracy estimated
without labels", had been looked at: BatchNorm on digits, seeds 0 and 1. That of mistakes was added
after its photographs: where no held-out source image is answered wrongly, nothing shows how sure
the network is of what it answers wrongly, and estimates were up to 28 points too high.
"""

from collections.abc import Mapping

import numpy as np

from dacbn.estimates.estimator import Seen
from dacbn.intervals import wilson

MIN_IMAGES = 30  # of each side; the interval of a share of fewer spans a third
MAX_RANGE = 0.25  # between the lowest and the highest estimator
MAX_IMBALANCE = 0.35  # total variation between predictions and the source's labels
MIN_OVER_CHANCE = 0.5  # of the source's accuracy, on the way from chance to all right
MIN_MISTAKES = 3  # on held-out source images
MIN_SPREAD = 0.01  # of the confidence, between its 5 % and 95 % quantiles


def find_thin(seen: Seen, by: Mapping[str, float]) -> tuple[str, ...]:
    """Return in words why an estimate cannot be trusted; nothing where it can.

    Args:
        seen: answers to source and target.
        by: what each estimator says.
    """
    target = seen.target
    reasons: list[str] = []
    for images, count in (("", len(target.classes)), ("held-out source ", len(seen.labels))):
        if count < MIN_IMAGES:
            reasons.append(f"only {count} {images}image{'s' * (count != 1)}")
    if reasons:  # the others would be of chance
        return tuple(reasons)
    enough = MIN_OVER_CHANCE + (1 - MIN_OVER_CHANCE) / seen.num_classes
    if wilson(seen.source_accuracy, len(seen.labels)).high < enough:
        reasons.append(f"only {seen.source_accuracy:.0%} of the source is right")
    mistakes = int((seen.source.classes != seen.labels).sum())
    if mistakes < MIN_MISTAKES:
        reasons.append(
            f"the network errs on {mistakes or 'none'} of {len(seen.labels)} held-out source "
            "images, too few to know how sure it is of its mistakes"
        )
    if all(np.ptp(np.quantile(each.confidence, (0.05, 0.95))) < MIN_SPREAD for each in seen[:2]):
        reasons.append("the network is equally sure of all images, right or wrong")
    away, largest = _imbalance(seen)
    if away > MAX_IMBALANCE:
        reasons.append(
            f"{away:.0%} of the predictions would have to change class to match the source's "
            f"shares, {largest:.0%} are of one class"
        )
    low, high = min(by.values()), max(by.values())
    if high - low > MAX_RANGE:
        told = ", ".join(f"{name} {share:.0%}" for name, share in by.items())
        reasons.append(f"estimators disagree ({told})")
    return tuple(reasons)


def _imbalance(seen: Seen) -> tuple[float, float]:
    """Return the total variation to the source's labels, and the share of the commonest class."""
    source, target = (
        np.bincount(each, minlength=seen.num_classes) / len(each)
        for each in (seen.labels, seen.target.classes)
    )
    return float(np.abs(source - target).sum() / 2), float(target.max())
