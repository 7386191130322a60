"""Rules that look at what a network answers to target images; see `rules`.

Differences are advised on only where the number of images supports them: their 95 % interval, by
Newcombe or Wilson, leaves out 0, or a test of 5 % among all classes is passed.
"""

from itertools import combinations

import numpy as np
from scipy.stats import binom, spearmanr

from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.predictions.predictions import compute_total_variation
from dacbn.analysis.verdict.evidence import Evidence, Finding, alternatives
from dacbn.intervals import newcombe, wilson
from dacbn.training.metrics import (
    NUM_IMAGES,
    TARGET_TEST_ACCURACY,
    TEST_CLASS_ACCURACY,
    VALIDATOR,
    is_validator,
)

MAX_IMBALANCE = 0.15  # total variation between class shares
MIN_RELATIVE_SHARE = 0.1  # of a class: predicted share over the source's; below, it is missing
MAX_EXCESS = 0.1  # confidence minus accuracy
MAX_CLASS_GAP = 0.1  # accuracy minus its mean over classes
MIN_EVALUATIONS = 5  # of a rank correlation: an order of fewer is never beyond chance at 5 %
DIVERSE = ("bnm", "information_maximisation")
BY_CLASS = ("cdan", "mcc")


def classes_fall_behind(evidence: Evidence) -> Finding | None:
    """A class of the target is answered wrongly more often than all together."""
    if evidence.right is None:
        return None
    hits, counts = evidence.right.T
    overall = hits.sum() / max(counts.sum(), 1)
    behind = [
        place
        for place in np.flatnonzero(counts).tolist()
        if binom.cdf(hits[place], counts[place], overall) < 0.05 / len(counts)
    ]
    if not behind:
        return None
    worst = sorted(behind, key=lambda place: hits[place] / counts[place])
    named = ", ".join(
        f"{evidence.name(place)} {hits[place]} of {counts[place]}" for place in worst[:3]
    )
    more = f" and {len(worst) - 3} others" if len(worst) > 3 else ""
    return Finding(
        f"some classes are rarely right on the target, where all together reach {overall:.0%}: "
        f"{named}{more}",
        "Look at which classes they are confused with",
    )


def accuracy_hides_classes(evidence: Evidence) -> Finding | None:
    """The accuracy on the target is far from its mean over classes: frequent ones decide."""
    curves = evidence.curves
    names = TARGET_TEST_ACCURACY, TEST_CLASS_ACCURACY["target"], NUM_IMAGES["target"]
    if any(name not in curves for name in names):
        return None
    accuracy, mean, count = (float(curves[name][-1, 1]) for name in names)
    if abs(accuracy - mean) <= MAX_CLASS_GAP or wilson(accuracy, count).holds(mean):
        return None
    return Finding(
        f"the accuracy on the target is {accuracy:.1%}, and its mean over classes {mean:.1%}: "
        f"{'frequent' if accuracy > mean else 'rare'} classes decide",
        "Judge by the mean over classes if each matters alike",
    )


def classes_are_missing(evidence: Evidence) -> Finding | None:
    """A class of the source is hardly ever predicted on the target."""
    source, target = evidence.source_shares, evidence.target_shares
    if source is None or target is None:
        return None
    expected = source > 0
    used = expected & (target >= MIN_RELATIVE_SHARE * source)
    likely = wilson(0, evidence.images).high if np.isfinite(evidence.images) else 0.0
    missing = expected & ~used & (source > likely)
    if not missing.any():
        return None
    lacking = [name for name in DIVERSE if name not in evidence.methods]
    joins = evidence.adapts and evidence.has_source and len(lacking) == len(DIVERSE)
    diverse = f"add a term for diversity ({' or '.join(lacking)})" if joins else ""
    lower = "lower the method's weight" if evidence.adapts and evidence.weighted else ""
    adapt = "" if evidence.adapts else "adapt to the target, with a method such as mcc"
    cure = alternatives(diverse, lower, adapt)
    return Finding(
        f"target predictions use {expected.sum() - missing.sum()} of {expected.sum()} classes",
        f"Unless the target lacks the other classes: {cure[0].lower()}{cure[1:]}"
        if cure
        else "Check whether the target lacks the other classes",
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
    other = [name for name in BY_CLASS if name not in evidence.methods and evidence.has_source]
    cure = alternatives(
        f"try a class-conditional method ({', '.join(other)})" if other else "",
        "lower the method's weight" if evidence.adapts and evidence.weighted else "",
    )
    return Finding(
        f"target predictions are out of balance with the source's labels by {imbalance:.2f} (total "
        f"variation); class {evidence.name(largest)} is predicted most in excess, "
        f"{target[largest]:.0%} against {source[largest]:.0%}",
        "If the target is balanced like the source, images of other classes are predicted as it"
        + (f": {cure[0].lower()}{cure[1:]}" if cure else ""),
    )


def chance_variation(shares: Floats, images: float) -> float:
    """Approximate the mean total variation between two samples of `images` from shares (C,)."""
    return float(np.sqrt(shares * (1 - shares) / (np.pi * images)).sum())


def target_is_overconfident(evidence: Evidence) -> Finding | None:
    """The mean confidence on the target exceeds its accuracy."""
    excess = evidence.excess
    if excess is None or excess <= MAX_EXCESS:
        return None
    if evidence.right is not None:
        hits, count = evidence.right.sum(0)
        if wilson(hits / count, count).holds(hits / count + excess):
            return None
    return Finding(
        f"confidence on the target exceeds accuracy by {excess:.2f}",
        "Do not select images by confidence, and use pseudo-labels with care",
    )


def target_has_fallen(evidence: Evidence) -> Finding | None:
    """The test accuracy on the target was higher in an earlier evaluation."""
    curve, number = (evidence.curves.get(n) for n in (TARGET_TEST_ACCURACY, NUM_IMAGES["target"]))
    if curve is None or number is None:
        return None
    (step, best), last, count = curve[curve[:, 1].argmax()], curve[-1, 1], number[-1, 1]
    if newcombe(best, count, last, count).low <= 0:
        return None
    return Finding(
        f"target test accuracy fell from {best:.3f} at step {step:.0f} to {last:.3f}, of "
        f"{count:.0f} images",
        "This needs target labels to detect: train shorter, or check whether a validator shows it",
    )


def validators_disagree(evidence: Evidence) -> Finding | None:
    """Validators rank the evaluations in opposite orders, beyond chance."""
    scores = {name: c for name, c in evidence.curves.items() if is_validator(name)}
    moving = {
        name: c[:, 1]
        for name, c in scores.items()
        if len(c) >= MIN_EVALUATIONS and np.isfinite(c[:, 1]).all() and np.ptp(c[:, 1]) > 0
    }
    found = {
        pair: spearmanr(moving[pair[0]], moving[pair[1]])
        for pair in combinations(moving, 2)
        if len(moving[pair[0]]) == len(moving[pair[1]])
    }
    opposite = {
        pair: each.statistic
        for pair, each in found.items()
        if each.statistic < 0 and each.pvalue < 0.05 / len(found)  # one of many may be so by chance
    }
    if not opposite:
        return None
    first, second = min(opposite, key=lambda pair: opposite[pair])
    names = " and ".join(name.removeprefix(VALIDATOR) for name in (first, second))
    return Finding(
        f"validators disagree: {names} rank the {len(moving[first])} evaluations with a "
        f"correlation of {opposite[first, second]:.2f}",
        "Do not select a step by one of them alone",
    )
