"""Is the adaptation healthy? A verdict in words, with its evidence."""

from collections.abc import Mapping
from types import MappingProxyType

from dacbn.analysis.clusters.compute import compute_clusters, mean_overlap
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.predictions.calibration import compute_reliability
from dacbn.analysis.predictions.predictions import compute_balance
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.training.curves import Curves
from dacbn.analysis.verdict.rules import RULES, Evidence, Finding


def gather_evidence(
    curves: Curves,
    steps: int | None,
    outputs: Mapping[str, DomainOutput],
    classes: tuple[str, ...] = (),
    scores: Scores | None = None,
    overlaps: Mapping[str, float] = MappingProxyType({}),
) -> Evidence:
    """Collect what rules look at from what other analyses have computed.

    Args:
        curves: what was recorded.
        steps: of the training, as planned.
        outputs: of source and target; empty where the images are not at hand.
        classes: their names.
        scores: of their features.
        overlaps: of the clusters, by layer, as `measure_overlaps` gives them.
    """
    distance = None if scores is None else scores.proxy_distance
    if not outputs or outputs["source"].labels is None:
        return Evidence(curves, steps, proxy_distance=distance, overlaps=overlaps)
    shares, target = compute_balance(outputs), outputs["target"]
    excess = None
    if target.labels is not None:
        excess = compute_reliability(target.probabilities, target.labels).excess
    of_source, of_target = shares["source labels"], shares["target predictions"]
    images = min(len(outputs["source"].features), len(target.features))
    return Evidence(
        curves, steps, of_source, of_target, distance, excess, images, classes, overlaps
    )


def measure_overlaps(recording: Recording | None) -> dict[str, float]:
    """Measure how alike the components in use of each mixture layer are.

    Returns:
        by layer with several components, their mean overlap; NaN where one alone is in use.
    """
    if recording is None or not recording.mixtures:
        return {}
    clusters = compute_clusters(recording, {}, 0)
    return {
        name: mean_overlap(each) for name, each in clusters.items() if each.occupancy.shape[1] > 1
    }


def judge(evidence: Evidence) -> list[Finding]:
    """Ask every rule; return what they say, in the order of `RULES`."""
    found = [rule(evidence) for rule in RULES]
    return [finding for finding in found if finding is not None]


def write_verdict(evidence: Evidence) -> Section:
    """Put the verdict into sentences, the last test accuracies first."""
    sentences = [
        f"{finding.seen[0].upper()}{finding.seen[1:]}. {finding.advice}."
        for finding in judge(evidence)
    ]
    if not sentences:
        sentences = ["No rule found anything alarming."]
    return Section("Verdict", tuple(_scores(evidence.curves) + sentences))


def _scores(curves: Curves) -> list[str]:
    known = [name for name in ("target", "source") if f"{name}_test_accuracy" in curves]
    parts = [f"{curves[f'{name}_test_accuracy'][-1, 1]:.1%} on the {name}" for name in known]
    return [f"The last test accuracy is {' and '.join(parts)}."] if parts else []
