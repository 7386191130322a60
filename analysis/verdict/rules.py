"""Rules that look at the evidence of a training, each a small function.

A rule says what it sees, with its numbers, and what may help; or nothing. Advice is what to try
next, not what will work.
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
from dacbn.analysis.training.curves import Curves

WON = 0.97  # domain accuracy from which the head is said to win
EVEN = 0.55  # domain accuracy up to which the head is at chance
APART = 1.0  # proxy A-distance from which domains are far apart: three in four are told
STILL_RISING = 0.02  # in accuracy, between the last two tenths of a training
LEARNED = 0.9  # accuracy on the source that a training should reach
SHAKY = 0.05  # standard deviation of an accuracy between two records
UNEVEN = 0.15  # total variation between class shares
RARE = 0.1  # of the share that the source has, below which a class counts as not predicted
TOO_SURE = 0.1  # confidence less accuracy
FALLEN = 0.03  # in target accuracy, between the best step and the last
FEWEST_RECORDS = 10  # below which nothing is said of a curve's shape


class Finding(NamedTuple):
    """Something a person should know: what is seen with its evidence, and what may help."""

    seen: str
    advice: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """What rules look at; what is not known is None or empty.

    Args:
        curves: by quantity, (points, 2): step and value.
        steps: of the training, as planned.
        source_shares: of the source's labels, by class (C,).
        target_shares: of the target's predictions, by class (C,).
        proxy_distance: between the domains' features.
        excess: the target's confidence less its accuracy.
        images: of each domain, behind the shares.
        classes: their names, in the order of the shares.
        overlaps: by mixture layer, the mean overlap of the components in use; NaN for one alone.
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
    """The records end before the planned step."""
    last = max((curve[-1, 0] for curve in evidence.curves.values()), default=None)
    if last is None or evidence.steps is None or last >= evidence.steps:
        return None
    return Finding(
        f"the training ended at step {last:.0f} of {evidence.steps}",
        "Go on with dacbn train --resume; all below is of an unfinished run",
    )


def source_is_not_learned(evidence: Evidence) -> Finding | None:
    """The source's training accuracy is low, or still rises."""
    values = _values(evidence, "source_accuracy")
    if values is None:
        return None
    before, last = (part.mean() for part in np.array_split(values, 10)[-2:])
    if last - before > STILL_RISING:
        return Finding(
            f"source accuracy has not converged: it rose from {before:.2f} to {last:.2f} over the "
            "last tenth of the training",
            "Train longer (--steps)",
        )
    if last < LEARNED:
        return Finding(
            f"source accuracy ended at {last:.2f}",
            "Raise --steps or --lr, take a larger backbone, or lower the method's weight: what is "
            "not learned on the source cannot be carried over",
        )
    return None


def training_oscillates(evidence: Evidence) -> Finding | None:
    """The source's training accuracy jumps between records, in the second half."""
    values = _values(evidence, "source_accuracy")
    if values is None:
        return None
    jump = np.diff(values[len(values) // 2 :]).std() / np.sqrt(2)
    if jump <= SHAKY:
        return None
    return Finding(
        f"training accuracy oscillates by ±{jump:.2f} between records in the second half",
        "Lower --lr, set --clip-norm 1, or enlarge the batches",
    )


def domain_head_wins(evidence: Evidence) -> Finding | None:
    """The domain classifier is nearly always right until the end."""
    curve = evidence.curves.get("domain_accuracy")
    if curve is None or len(curve) < FEWEST_RECORDS or _late(curve).mean() < WON:
        return None
    below = np.flatnonzero(curve[:, 1] < WON)
    since = curve[min(below[-1] + 1, len(curve) - 1) if len(below) else 0, 0]
    return Finding(
        f"the domain head wins: domain accuracy is {_late(curve).mean():.2f} over the last "
        f"quarter, and not below {WON} since step {since:.0f}",
        "The features do not fool it: raise the method's weight, take a narrower head, or add bsp",
    )


def domain_head_sleeps(evidence: Evidence) -> Finding | None:
    """The domain classifier is at chance, though the domains can be told apart."""
    curve, distance = evidence.curves.get("domain_accuracy"), evidence.proxy_distance
    if curve is None or distance is None or len(curve) < FEWEST_RECORDS:
        return None
    if _late(curve).mean() > EVEN or distance < APART:
        return None
    return Finding(
        f"the domain head is at chance ({_late(curve).mean():.2f}), yet a linear classifier tells "
        f"the domains apart (proxy A-distance {distance:.2f} of 2)",
        "Its game has broken down: lower the method's weight, or raise it more slowly",
    )


def domains_stay_apart(evidence: Evidence) -> Finding | None:
    """A linear classifier tells the features of the domains apart."""
    distance = evidence.proxy_distance
    if distance is None or distance < APART:
        return None
    return Finding(
        f"features still tell the domains apart: a linear classifier is right in "
        f"{(2 + distance) / 4:.0%} of cases (proxy A-distance {distance:.2f} of 2)",
        "Classes may still be aligned: look at the embedding by class before changing anything",
    )


def classes_are_missing(evidence: Evidence) -> Finding | None:
    """The target is hardly ever taken for a class that the source has."""
    source, target = evidence.source_shares, evidence.target_shares
    if source is None or target is None:
        return None
    expected = source > 0
    used = expected & (target >= RARE * source)
    if used.sum() == expected.sum():
        return None
    return Finding(
        f"target predictions use {used.sum()} of {expected.sum()} classes",
        "Unless the target lacks the others, add a term for diversity (bnm or "
        "information_maximisation), or lower the method's weight if it has one",
    )


def classes_are_out_of_balance(evidence: Evidence) -> Finding | None:
    """The target's predictions spread otherwise over the classes than the source's labels."""
    source, target = evidence.source_shares, evidence.target_shares
    if source is None or target is None:
        return None
    away = compute_total_variation(source, target)
    if away <= UNEVEN + chance_variation(source, evidence.images):
        return None
    most = int((target - source).argmax())
    name = evidence.classes[most] if evidence.classes else most
    return Finding(
        f"target predictions are out of balance with the source's labels by {away:.2f} (total "
        f"variation); class {name} is predicted most in excess, {target[most]:.0%} against "
        f"{source[most]:.0%}",
        "If the target is balanced as the source is, other classes are drawn to it: try a method "
        "that looks at classes (cdan, mcc), or lower the method's weight if it has one",
    )


def chance_variation(shares: Floats, images: float) -> float:
    """Compute the mean total variation of two samples of `images` from the same shares (C,)."""
    return float(np.sqrt(shares * (1 - shares) / (np.pi * images)).sum())


def target_is_too_sure(evidence: Evidence) -> Finding | None:
    """Confidence on the target exceeds its accuracy."""
    if evidence.excess is None or evidence.excess <= TOO_SURE:
        return None
    return Finding(
        f"confidence on the target exceeds accuracy by {evidence.excess:.2f}",
        "Do not choose images by confidence, and be wary of pseudo-labels",
    )


def target_has_fallen(evidence: Evidence) -> Finding | None:
    """The target's test accuracy was higher before."""
    curve = evidence.curves.get("target_test_accuracy")
    if curve is None or curve[:, 1].max() - curve[-1, 1] <= FALLEN:
        return None
    step, best = curve[curve[:, 1].argmax()]
    return Finding(
        f"target test accuracy fell from {best:.3f} at step {step:.0f} to {curve[-1, 1]:.3f}",
        "Only labels of the target tell so: train shorter, or see whether a validator notices",
    )


def validators_disagree(evidence: Evidence) -> Finding | None:
    """Scores that need no target labels rank the steps in opposite orders."""
    scores = {name: c for name, c in evidence.curves.items() if name.startswith("validator_")}
    moving = {name: c[:, 1] for name, c in scores.items() if len(c) > 3 and np.ptp(c[:, 1]) > 0}
    ranks = {
        pair: spearmanr(moving[pair[0]], moving[pair[1]]).statistic
        for pair in combinations(moving, 2)
        if len(moving[pair[0]]) == len(moving[pair[1]])
    }
    if not ranks or np.mean(list(ranks.values())) >= 0:
        return None
    first, second = min(ranks, key=lambda pair: ranks[pair])
    names = " and ".join(name.removeprefix("validator_") for name in (first, second))
    return Finding(
        f"validators disagree: {names} rank the steps with a correlation of "
        f"{ranks[first, second]:.2f}, all with {np.mean(list(ranks.values())):.2f} on average",
        "Do not choose a step by one of them alone",
    )


def clusters_collapse(evidence: Evidence) -> Finding | None:
    """The components of mixture layers do as one."""
    overlaps = evidence.overlaps
    as_one = [name for name, each in overlaps.items() if np.isnan(each) or each >= MAX_OVERLAP]
    if not as_one:
        return None
    named = ", ".join(as_one[:3]) + (", …" if len(as_one) > 3 else "")
    return Finding(
        f"clusters do as one in {len(as_one)} of {len(overlaps)} mixture layers ({named}): their "
        f"components overlap by {MAX_OVERLAP} or more, or one alone is in use",
        "There the norm does much as BatchNorm: convert fewer layers (--norm-sites), or assign "
        "otherwise (assign='sample', 'position' or 'channel')",
    )


Rule = Callable[[Evidence], Finding | None]
RULES: tuple[Rule, ...] = (
    training_is_cut_short,
    source_is_not_learned,
    training_oscillates,
    classes_are_missing,
    classes_are_out_of_balance,
    domain_head_wins,
    domain_head_sleeps,
    domains_stay_apart,
    target_has_fallen,
    target_is_too_sure,
    validators_disagree,
    clusters_collapse,
)


def _values(evidence: Evidence, name: str) -> NDArray[np.float64] | None:
    """Return a curve's values, if there are enough to speak of its shape."""
    curve = evidence.curves.get(name)
    return None if curve is None or len(curve) < FEWEST_RECORDS else curve[:, 1]


def _late(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of the last quarter."""
    late: NDArray[np.float64] = curve[-(len(curve) // 4) :, 1]
    return late
