"""The verdict of a report: problems that the rules find in a training, in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from dacbn.analysis.clusters.compute import compute_clusters, mean_overlap
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.observe.outputs import DomainOutput, Labels
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.sides import pool
from dacbn.analysis.predictions.calibration import compute_reliability
from dacbn.analysis.predictions.predictions import compute_balance
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.training.curves import Curves
from dacbn.analysis.verdict.evidence import Evidence, Finding
from dacbn.analysis.verdict.rules import RULES
from dacbn.training import TrainConfig
from dacbn.training.metrics import TEST_ACCURACY


def gather_evidence(
    curves: Curves,
    steps: int | None,
    outputs: Mapping[str, DomainOutput],
    classes: tuple[str, ...] = (),
    scores: Scores | None = None,
    overlaps: Mapping[str, float] = MappingProxyType({}),
    config: TrainConfig | None = None,
) -> Evidence:
    """Collect the input of the rules from the results of other analyses.

    Args:
        curves: for each metric, (points, 2): step and value.
        steps: planned number of training steps.
        outputs: outputs on sources and targets; empty if the images are not available.
        classes: class names.
        scores: scores of the embedding of their features.
        overlaps: overlap of the components, by layer, as `measure_overlaps` returns it.
        config: the settings of the run.
    """
    distance = None if scores is None else scores.proxy_distance
    source, target = pool(outputs, True), pool(outputs, False)
    known = Evidence(
        curves, steps, proxy_distance=distance, classes=classes, overlaps=overlaps, config=config
    )
    if source is None or source.labels is None or target is None:
        return known
    shares = compute_balance(outputs)
    known = replace(
        known,
        source_shares=shares["source labels"],
        target_shares=shares["target predictions"],
        images=min(len(source.features), len(target.features)),
    )
    if target.labels is None:
        return known
    excess = compute_reliability(target.probabilities, target.labels).excess
    return replace(known, excess=excess, right=_count_right(target.labels, target.predictions))


def _count_right(labels: Labels, answers: Labels) -> Labels:
    """Count the images of each class that are answered rightly, and all of them: (C, 2)."""
    size = int(max(labels.max(), answers.max())) + 1
    counts = [np.bincount(each, minlength=size) for each in (labels[labels == answers], labels)]
    return np.stack(counts, 1)


def measure_overlaps(recording: Recording | None) -> dict[str, float]:
    """Measure how much the components in use of each mixture layer overlap.

    Returns:
        for each layer with several components, their mean overlap; NaN if only one is in use.
    """
    if recording is None or not recording.mixtures:
        return {}
    clusters = compute_clusters(recording, {}, 0)
    return {
        name: mean_overlap(each) for name, each in clusters.items() if each.occupancy.shape[1] > 1
    }


def apply_rules(evidence: Evidence) -> list[Finding]:
    """Apply every rule and return the findings in the order of `RULES`."""
    found = [rule(evidence) for rule in RULES]
    return [finding for finding in found if finding is not None]


def write_verdict(evidence: Evidence, opening: Sequence[str] = ()) -> Section:
    """Write the findings as sentences, after those that answer how good the run is.

    Args:
        evidence: the input of the rules.
        opening: from `opening`; without it, the last test accuracies come first.
    """
    sentences = [
        f"{finding.observation[0].upper()}{finding.observation[1:]}. {finding.advice}."
        for finding in apply_rules(evidence)
    ]
    if not sentences:
        sentences = ["No rule found a problem."]
    return Section("Verdict", (*(opening or _scores(evidence.curves)), *sentences))


def _scores(curves: Curves) -> list[str]:
    domains = [domain for domain in ("target", "source") if TEST_ACCURACY[domain] in curves]
    parts = [f"{curves[TEST_ACCURACY[each]][-1, 1]:.1%} on the {each}" for each in domains]
    return [f"The last test accuracy is {' and '.join(parts)}."] if parts else []
