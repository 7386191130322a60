"""Rules that look for typical problems of a training, one small function each.

A rule returns a finding, with the numbers that support it and advice, or None. The advice is a next
step to try; it may not help.
"""

from collections.abc import Callable

import numpy as np

from dacbn.analysis.clusters.compute import MAX_OVERLAP
from dacbn.analysis.training.curves import has_several_domains
from dacbn.analysis.verdict.evidence import MIN_RECORDS, Evidence, Finding, alternatives, late
from dacbn.analysis.verdict.target_rules import (
    accuracy_hides_classes,
    classes_are_missing,
    classes_are_out_of_balance,
    classes_fall_behind,
    target_has_fallen,
    target_is_overconfident,
    validators_disagree,
)
from dacbn.intervals import newcombe
from dacbn.spelling import spell
from dacbn.training.metrics import DOMAIN_ACCURACY, SOURCE_ACCURACY

# Limits of a healthy training.
MAX_DOMAIN_ACCURACY = 0.97  # of the domain head; at or above, it is too strong
MIN_DOMAIN_ACCURACY = 0.55  # of the domain head; at or below, it is at chance
MAX_PROXY_DISTANCE = 1.0  # proxy A-distance; at 1, a linear classifier is right in 75 % of cases
MAX_RISE = 0.02  # of source accuracy from one tenth of the training to the next, at the end
MIN_SOURCE_ACCURACY = 0.9  # in training
MAX_JUMP = 0.05  # standard deviation of an accuracy between two records
WAYS = ("sample", "position", "channel")  # in which mixtures assign


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
    values = evidence.values(SOURCE_ACCURACY)
    if values is None:
        return None
    before, last = (part.mean() for part in np.array_split(values, 10)[-2:])
    if last - before > MAX_RISE and _beyond_chance(evidence, before, last, len(values) // 10):
        return Finding(
            f"source accuracy has not converged: it rose from {before:.2f} to {last:.2f} over the "
            "last tenth of the training",
            f"Train longer ({spell('steps')})",
        )
    if last < MIN_SOURCE_ACCURACY:
        return Finding(
            f"source accuracy ended at {last:.2f}",
            alternatives(
                f"raise {spell('steps')} or {spell('lr')}",
                "use a larger backbone",
                "lower the method's weight" if evidence.adapts and evidence.weighted else "",
            )
            + ": only what is learned on the source can be transferred",
        )
    return None


def _beyond_chance(evidence: Evidence, before: float, last: float, records: int) -> bool:
    """Whether two accuracies in training differ by more than their numbers of images explain."""
    config = evidence.config
    if config is None:
        return True
    count = max(1, records) * config.log_every * config.source_batch_size
    return newcombe(last, count, before, count).low > 0


def training_oscillates(evidence: Evidence) -> Finding | None:
    """The training accuracy on the source jumps between records, in the second half."""
    values = evidence.values(SOURCE_ACCURACY)
    if values is None:
        return None
    jump = np.diff(values[len(values) // 2 :]).std() / np.sqrt(2)
    if jump <= MAX_JUMP:
        return None
    return Finding(
        f"training accuracy oscillates by ±{jump:.2f} between records in the second half",
        alternatives(
            f"lower {spell('lr')}",
            "" if evidence.config and evidence.config.clip_norm else f"set {spell('clip_norm', 1)}",
            "use larger batches",
        ),
    )


def domain_head_too_strong(evidence: Evidence) -> Finding | None:
    """The domain head predicts nearly every domain correctly until the end."""
    curve = evidence.curves.get(DOMAIN_ACCURACY)
    if curve is None or len(curve) < MIN_RECORDS or late(curve).mean() < MAX_DOMAIN_ACCURACY:
        return None
    below = np.flatnonzero(curve[:, 1] < MAX_DOMAIN_ACCURACY)
    since = curve[min(below[-1] + 1, len(curve) - 1) if len(below) else 0, 0]
    return Finding(
        f"the domain head is too strong: domain accuracy is {late(curve).mean():.2f} over the "
        f"last quarter, and not below {MAX_DOMAIN_ACCURACY} since step {since:.0f}",
        alternatives(
            "raise the method's weight" if evidence.weighted else "",
            "use a narrower head",
            "" if "bsp" in evidence.methods else "add bsp",
        ),
    )


def domain_head_at_chance(evidence: Evidence) -> Finding | None:
    """The domain head is at chance, although the features differ between the domains."""
    curve, distance = evidence.curves.get(DOMAIN_ACCURACY), evidence.proxy_distance
    if curve is None or distance is None or len(curve) < MIN_RECORDS:
        return None
    if has_several_domains(evidence.curves):  # chance is not one half
        return None
    if late(curve).mean() > MIN_DOMAIN_ACCURACY or distance < MAX_PROXY_DISTANCE:
        return None
    return Finding(
        f"the domain head is at chance ({late(curve).mean():.2f}), yet a linear classifier "
        f"separates the domains (proxy A-distance {distance:.2f} of 2)",
        "Adversarial training has collapsed: "
        + ("lower the method's weight" if evidence.weighted else f"lower {spell('lr')}"),
    )


def domains_stay_apart(evidence: Evidence) -> Finding | None:
    """A linear classifier separates the domains by their features."""
    distance = evidence.proxy_distance
    if distance is None or distance < MAX_PROXY_DISTANCE:
        return None
    return Finding(
        f"the features of the domains still differ: a linear classifier predicts the domain of "
        f"{(2 + distance) / 4:.0%} of the images (proxy A-distance {distance:.2f} of 2)",
        "Classes may be aligned nevertheless: look at the embedding by class first"
        if evidence.adapts
        else "Nothing has aligned them in this run: that is what the methods of adaptation are for",
    )


def clusters_collapse(evidence: Evidence) -> Finding | None:
    """The components of mixture layers are nearly identical, or only one is in use."""
    overlaps = evidence.overlaps
    collapsed = [name for name, each in overlaps.items() if np.isnan(each) or each >= MAX_OVERLAP]
    if not collapsed:
        return None
    named = ", ".join(collapsed[:3]) + (", …" if len(collapsed) > 3 else "")
    config, assign = evidence.config, evidence.assign
    others = " or ".join(f"assign={way!r}" for way in WAYS if way != assign)
    return Finding(
        f"in {len(collapsed)} of {len(overlaps)} mixture layers ({named}) the components overlap "
        f"by {MAX_OVERLAP} or more, or only one is in use",
        "These layers act much like BatchNorm: "
        + alternatives(
            f"convert fewer layers ({spell('norm_sites')})"
            if config is None or config.norm_sites == "all"
            else "",
            f"try {others}" if config is None or assign is not None else "",
            "compare with batch_norm, which is cheaper",
        ),
    )


Rule = Callable[[Evidence], Finding | None]
RULES: tuple[Rule, ...] = (
    training_is_cut_short,
    classes_fall_behind,
    accuracy_hides_classes,
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
