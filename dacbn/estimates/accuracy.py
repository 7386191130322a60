"""Estimate a network's accuracy on the target without its labels, with an interval.

The estimate is the mean of the estimators that apply. Its interval holds what the choice of the
images may change, by resampling those of target and source (Efron's bootstrap), and the error that
such means had in past comparisons, whose labels were held aside.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dacbn.estimates.estimator import Floats, Seen, estimators
from dacbn.estimates.past_errors import past_reach
from dacbn.estimates.thin_evidence import find_thin

RESAMPLES = 200


class Estimate(NamedTuple):
    """An accuracy that was estimated without labels.

    Attributes:
        accuracy: the estimated share of right answers.
        low: lower end of its 95 % interval.
        high: upper end.
        images: number of target images.
        by: what each estimator says.
        thin: why the evidence is too thin to tell, in words; empty where it can be told.
    """

    accuracy: float
    low: float
    high: float
    images: int
    by: Mapping[str, float]
    thin: tuple[str, ...] = ()

    @property
    def can_tell(self) -> bool:
        """Whether the evidence supports the estimate."""
        return not self.thin


def estimate(seen: Seen, thin: Sequence[str] = (), seed: int = 0) -> Estimate:
    """Estimate the accuracy on the target.

    Args:
        seen: answers to held-out source images, with labels, and to target images, without.
        thin: further reasons why the evidence is thin, such as the method of the training.
        seed: of the resampling.

    Example:
        >>> import torch
        >>> from dacbn.estimates import see
        >>> from dacbn.label_shift import HeldOut
        >>> sure, torn = torch.tensor([4.0, 0.0]), torch.tensor([0.0, 0.1])
        >>> held_out = HeldOut(torch.stack([sure] * 90 + [torn] * 10), torch.zeros(100).long())
        >>> found = estimate(see(held_out, torch.stack([sure, torn] * 50)))
        >>> round(found.by["atc"], 2), found.images
        (0.5, 100)
    """
    by = _apply(seen)
    accuracy = _mean(by)
    spread = _resample(seen, np.random.default_rng(seed))
    low, high = np.quantile(spread, [0.025, 0.975])
    past = past_reach(by)
    below, above = max(0.0, accuracy - low), max(0.0, high - accuracy)
    reach = [math.hypot(each, past) for each in (below, above)]
    found = Estimate(
        accuracy,
        max(0.0, accuracy - reach[0]),
        min(1.0, accuracy + reach[1]),
        len(seen.target.classes),
        by,
    )
    return found._replace(thin=(*thin, *find_thin(seen, by)))


def describe(found: Estimate) -> str:
    """Say in words what was estimated.

    Example:
        >>> describe(Estimate(0.712, 0.63, 0.78, 346, {"atc": 0.7}))
        '71 % estimated (63 to 78), without labels, of 346 images'
    """
    images = f"{found.images:,} image" + "s" * (found.images != 1)
    if not found.can_tell:
        return f"cannot tell from {images} without labels: {'; '.join(found.thin)}"
    return f"{in_short(found)}, without labels, of {images}"


def in_short(found: Estimate) -> str:
    """Say what was estimated, in a few words, whether or not the evidence is thin."""
    low, high = (f"{100 * each:.0f}" for each in (found.low, found.high))
    return f"{100 * found.accuracy:.0f} % estimated ({low} to {high})"


def to_json(found: Estimate) -> dict[str, object]:
    """Return an estimate as values of JSON; accuracy and interval are None where none can tell."""
    told = (found.accuracy, found.low, found.high) if found.can_tell else (None, None, None)
    accuracy, low, high = told
    return {
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "images": found.images,
        "by": dict(found.by),
        "cannot_tell": list(found.thin),
    }


def _apply(seen: Seen) -> dict[str, float]:
    """Apply every estimator that has what it needs."""
    return {
        name: estimators[name](seen)
        for name in estimators
        if seen.second is not None or not getattr(estimators[name], "needs", ())
    }


def _mean(by: Mapping[str, float]) -> float:
    return sum(by.values()) / len(by)


def _resample(seen: Seen, random: np.random.Generator) -> Floats:
    """Return the estimates from images that are drawn anew, source and target apart."""
    counts = len(seen.labels), len(seen.target.classes)
    return np.array(
        [
            _mean(_apply(seen.take(*(random.integers(0, count, count) for count in counts))))
            for _ in range(RESAMPLES)
        ]
    )
