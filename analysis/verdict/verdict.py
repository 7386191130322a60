"""The verdict of a report: problems that the rules find in a training, in sentences."""

from collections.abc import Mapping
from types import MappingProxyType

from dacbn.analysis.clusters.compute import compute_clusters, mean_overlap
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.sides import pool
from dacbn.analysis.predictions.calibration import compute_reliability
from dacbn.analysis.predictions.predictions import compute_balance
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.training.curves import Curves
from dacbn.analysis.verdict.rules import RULES, Evidence, Finding
from dacbn.training.metrics import TEST_ACCURACY


def gather_evidence(
    curves: Curves,
    steps: int | None,
    outputs: Mapping[str, DomainOutput],
    classes: tuple[str, ...] = (),
    scores: Scores | None = None,
    overlaps: Mapping[str, float] = MappingProxyType({}),
) -> Evidence:
    """Collect the input of the rules from the results of other analyses.

    Args:
        curves: for each metric, (points, 2): step and value.
        steps: planned number of training steps.
        outputs: outputs on sources and targets; empty if the images are not available.
        classes: class names.
        scores: scores of the embedding of their features.
        overlaps: overlap of the components, by layer, as `measure_overlaps` returns it.
    """
    distance = None if scores is None else scores.proxy_distance
    source, target = pool(outputs, True), pool(outputs, False)
    if source is None or source.labels is None or target is None:
        return Evidence(curves, steps, proxy_distance=distance, overlaps=overlaps)
    shares = compute_balance(outputs)
    excess = None
    if target.labels is not None:
        excess = compute_reliability(target.probabilities, target.labels).excess
    of_source, of_target = shares["source labels"], shares["target predictions"]
    images = min(len(source.features), len(target.features))
    return Evidence(
        curves, steps, of_source, of_target, distance, excess, images, classes, overlaps
    )


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


def write_verdict(evidence: Evidence) -> Section:
    """Write the findings as sentences, after the last test accuracies."""
    sentences = [
        f"{finding.observation[0].upper()}{finding.observation[1:]}. {finding.advice}."
        for finding in apply_rules(evidence)
    ]
    if not sentences:
        sentences = ["No rule found a problem."]
    return Section("Verdict", tuple(_scores(evidence.curves) + sentences))


def _scores(curves: Curves) -> list[str]:
    domains = [domain for domain in ("target", "source") if TEST_ACCURACY[domain] in curves]
    parts = [f"{curves[TEST_ACCURACY[each]][-1, 1]:.1%} on the {each}" for each in domains]
    return [f"The last test accuracy is {' and '.join(parts)}."] if parts else []
