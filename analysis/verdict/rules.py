"""Rules that look for typical problems of a training, one small function each.

A rule returns a finding, with the numbers that support it and advice, or None. The advice is a next
step to try; it may not help.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dacbn.analysis.clusters.compute import MAX_OVERLAP
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.predictions.predictions import compute_total_variation
from dacbn.analysis.training.curves import Curves, has_several_domains
from dacbn.spelling import spell
from dacbn.training.metrics import (
    DOMAIN_ACCURACY,
    SOURCE_ACCURACY,
    TARGET_TEST_ACCURACY,
    VALIDATOR,
    is_validator,
)

# Limits of a healthy training.
MAX_DOMAIN_ACCURACY = 0.97  # of the domain head; at or above, it is too strong
MIN_DOMAIN_ACCURACY = 0.55  # of the domain head; at or below, it is at chance
MAX_PROXY_DISTANCE = 1.0  # proxy A-distance; at 1, a linear classifier is right in 75 % of cases
MAX_RISE = 0.02  # of source accuracy from one tenth of the training to the next, at the end
MIN_SOURCE_ACCURACY = 0.9  # in training
MAX_JUMP = 0.05  # standard deviation of an accuracy between two records
MAX_IMBALANCE = 0.15  # total variation between class shares
MIN_RELATIVE_SHARE = 0.1  # of a class: predicted share over the source's; below, it is missing
MAX_EXCESS = 0.1  # confidence minus accuracy
MAX_DROP = 0.03  # of target accuracy, from the best evaluation to the last
MIN_RECORDS = 10  # for a rule about the shape of a curve


class Finding(NamedTuple):
    """A problem that a rule found: the observation, with numbers, and advice."""

    observation: str
    advice: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """The input of the rules; unknown values are None or empty.

    Args:
        curves: for each metric, (points, 2): step and value.
        steps: planned number of training steps.
        source_shares: share of each class among the source's labels, (C,).
        target_shares: share of each class among the target's predictions, (C,).
        proxy_distance: proxy A-distance between the domains' features.
        excess: mean confidence on the target minus its accuracy.
        images: number of images per domain from which the shares are computed.
        classes: class names, in the order of the shares.
        overlaps: for each mixture layer, the mean overlap of the components in use; NaN if only
            one is in use.
    """

    curves: Curves = field(default_factory=dict)
    steps: int | None = None
    source_shares: Floats | None = None
    target_shares: Floats | None = None
    proxy_distance: float | None = None
    excess: float | None = None
    images: float = np.inf
    classes: tuple[str, ...] = ()
    overlaps: Mapping[str, float] = field(default_factory=dict)


def training_is_cut_short(evidence: Evidence) -> Finding | None:
    """The records end before the planned last step."""
    last = max((curve[-1, 0] for curve in evidence.curves.values()), default=None)
    if last is None or evidence.steps is None or last >= evidence.steps:
        return None
    return Finding(
        f"the training ended at step {last:.0f} of {evidence.steps}",
        "Resume with dacbn train --resume; everything below is about an unfinished run",
    )


def source_is_not_learned(evidence: Evidence) -> Finding | None:
    """The training accuracy on the source is low, or still rises."""
    values = _values(evidence, SOURCE_ACCURACY)
    if values is None:
        return None
    before, last = (part.mean() for part in np.array_split(values, 10)[-2:])
    if last - before > MAX_RISE:
        return Finding(
            f"source accuracy has not converged: it rose from {before:.2f} to {last:.2f} over the "
            "last tenth of the training",
            f"Train longer ({spell('steps')})",
        )
    if last < MIN_SOURCE_ACCURACY:
        return Finding(
            f"source accuracy ended at {last:.2f}",
            f"Raise {spell('steps')} or {spell('lr')}, use a larger backbone, or lower the "
            "method's weight: only what is learned on the source can be transferred",
        )
    return None


def training_oscillates(evidence: Evidence) -> Finding | None:
    """The training accuracy on the source jumps between records, in the second half."""
    values = _values(evidence, SOURCE_ACCURACY)
    if values is None:
        return None
    jump = np.diff(values[len(values) // 2 :]).std() / np.sqrt(2)
    if jump <= MAX_JUMP:
        return None
    return Finding(
        f"training accuracy oscillates by ±{jump:.2f} between records in the second half",
        f"Lower {spell('lr')}, set {spell('clip_norm', 1)}, or use larger batches",
    )


def domain_head_too_strong(evidence: Evidence) -> Finding | None:
    """The domain head predicts nearly every domain correctly until the end."""
    curve = evidence.curves.get(DOMAIN_ACCURACY)
    if curve is None or len(curve) < MIN_RECORDS or _late(curve).mean() < MAX_DOMAIN_ACCURACY:
        return None
    below = np.flatnonzero(curve[:, 1] < MAX_DOMAIN_ACCURACY)
    since = curve[min(below[-1] + 1, len(curve) - 1) if len(below) else 0, 0]
    return Finding(
        f"the domain head is too strong: domain accuracy is {_late(curve).mean():.2f} over the "
        f"last quarter, and not below {MAX_DOMAIN_ACCURACY} since step {since:.0f}",
        "Raise the method's weight, use a narrower head, or add bsp",
    )


def domain_head_at_chance(evidence: Evidence) -> Finding | None:
    """The domain head is at chance, although the features differ between the domains."""
    curve, distance = evidence.curves.get(DOMAIN_ACCURACY), evidence.proxy_distance
    if curve is None or distance is None or len(curve) < MIN_RECORDS:
        return None
    if has_several_domains(evidence.curves):  # chance is not one half
        return None
    if _late(curve).mean() > MIN_DOMAIN_ACCURACY or distance < MAX_PROXY_DISTANCE:
        return None
    return Finding(
        f"the domain head is at chance ({_late(curve).mean():.2f}), yet a linear classifier "
        f"separates the domains (proxy A-distance {distance:.2f} of 2)",
        "Adversarial training has collapsed: lower the method's weight or ramp it up more slowly",
    )


def domains_stay_apart(evidence: Evidence) -> Finding | None:
    """A linear classifier separates the domains by their features."""
    distance = evidence.proxy_distance
    if distance is None or distance < MAX_PROXY_DISTANCE:
        return None
    return Finding(
        f"the features of the domains still differ: a linear classifier predicts the domain of "
        f"{(2 + distance) / 4:.0%} of the images (proxy A-distance {distance:.2f} of 2)",
        "Classes may be aligned nevertheless: look at the embedding by class first",
    )


def classes_are_missing(evidence: Evidence) -> Finding | None:
    """A class of the source is hardly ever predicted on the target."""
    source, target = evidence.source_shares, evidence.target_shares
    if source is None or target is None:
        return None
    expected = source > 0
    used = expected & (target >= MIN_RELATIVE_SHARE * source)
    if used.sum() == expected.sum():
        return None
    return Finding(
        f"target predictions use {used.sum()} of {expected.sum()} classes",
        "Unless the target lacks the other classes, add a term for diversity (bnm or "
        "information_maximisation), or lower the method's weight if it has one",
    )


def classes_are_out_of_balance(evidence: Evidence) -> Finding | None:
    """The target's predictions have other class shares than the source's labels."""
    source, target = evidence.source_shares, evidence.target_shares
    if source is None or target is None:
        return None
    imbalance = compute_total_variation(source, target)
    if imbalance <= MAX_IMBALANCE + chance_variation(source, evidence.images):
        return None
    largest = int((target - source).argmax())
    name = evidence.classes[largest] if evidence.classes else largest
    return Finding(
        f"target predictions are out of balance with the source's labels by {imbalance:.2f} (total "
        f"variation); class {name} is predicted most in excess, {target[largest]:.0%} against "
        f"{source[largest]:.0%}",
        "If the target is balanced like the source, images of other classes are predicted as it: "
        "try a class-conditional method (cdan, mcc), or lower the method's weight if it has one",
    )


def chance_variation(shares: Floats, images: float) -> float:
    """Approximate the mean total variation between two samples of `images` from shares (C,)."""
    return float(np.sqrt(shares * (1 - shares) / (np.pi * images)).sum())


def target_is_overconfident(evidence: Evidence) -> Finding | None:
    """The mean confidence on the target exceeds its accuracy."""
    if evidence.excess is None or evidence.excess <= MAX_EXCESS:
        return None
    return Finding(
        f"confidence on the target exceeds accuracy by {evidence.excess:.2f}",
        "Do not select images by confidence, and use pseudo-labels with care",
    )


def target_has_fallen(evidence: Evidence) -> Finding | None:
    """The test accuracy on the target was higher in an earlier evaluation."""
    curve = evidence.curves.get(TARGET_TEST_ACCURACY)
    if curve is None or curve[:, 1].max() - curve[-1, 1] <= MAX_DROP:
        return None
    step, best = curve[curve[:, 1].argmax()]
    return Finding(
        f"target test accuracy fell from {best:.3f} at step {step:.0f} to {curve[-1, 1]:.3f}",
        "This needs target labels to detect: train shorter, or check whether a validator shows it",
    )


def validators_disagree(evidence: Evidence) -> Finding | None:
    """Validators rank the evaluations in opposite orders."""
    scores = {name: c for name, c in evidence.curves.items() if is_validator(name)}
    moving = {name: c[:, 1] for name, c in scores.items() if len(c) > 3 and np.ptp(c[:, 1]) > 0}
    ranks = {
        pair: spearmanr(moving[pair[0]], moving[pair[1]]).statistic
        for pair in combinations(moving, 2)
        if len(moving[pair[0]]) == len(moving[pair[1]])
    }
    mean = np.mean(list(ranks.values())) if ranks else 0.0
    if mean >= 0:
        return None
    first, second = min(ranks, key=lambda pair: ranks[pair])
    names = " and ".join(name.removeprefix(VALIDATOR) for name in (first, second))
    return Finding(
        f"validators disagree: {names} rank the evaluations with a correlation of "
        f"{ranks[first, second]:.2f}; the mean over all pairs is {mean:.2f}",
        "Do not select a step by one of them alone",
    )


def clusters_collapse(evidence: Evidence) -> Finding | None:
    """The components of mixture layers are nearly identical, or only one is in use."""
    overlaps = evidence.overlaps
    collapsed = [name for name, each in overlaps.items() if np.isnan(each) or each >= MAX_OVERLAP]
    if not collapsed:
        return None
    named = ", ".join(collapsed[:3]) + (", …" if len(collapsed) > 3 else "")
    return Finding(
        f"in {len(collapsed)} of {len(overlaps)} mixture layers ({named}) the components overlap "
        f"by {MAX_OVERLAP} or more, or only one is in use",
        f"These layers act much like BatchNorm: convert fewer layers ({spell('norm_sites')}), or "
        "choose another `assign` than now ('sample', 'position' or 'channel')",
    )


Rule = Callable[[Evidence], Finding | None]
RULES: tuple[Rule, ...] = (
    training_is_cut_short,
    source_is_not_learned,
    training_oscillates,
    classes_are_missing,
    classes_are_out_of_balance,
    domain_head_too_strong,
    domain_head_at_chance,
    domains_stay_apart,
    target_has_fallen,
    target_is_overconfident,
    validators_disagree,
    clusters_collapse,
)


def _values(evidence: Evidence, name: str) -> NDArray[np.float64] | None:
    """Return the values of a curve; None if there are too few to judge its shape."""
    curve = evidence.curves.get(name)
    return None if curve is None or len(curve) < MIN_RECORDS else curve[:, 1]


def _late(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of the last quarter."""
    late: NDArray[np.float64] = curve[-(len(curve) // 4) :, 1]
    return late
