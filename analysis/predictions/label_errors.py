"""Images whose labels may be wrong, by the network's own confidence.

Paper: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
JAIR 2021, https://arxiv.org/abs/1911.00068.
Differs from the paper: there is no cross-validation, because the network was not trained on these
labels: those of the test split of a source, and those of a target. The other class must also be the
likeliest of all: a class that is never likely has so low a threshold that much would be suspected.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from dacbn.analysis.analyses import analyses
from dacbn.analysis.observe.outputs import DomainOutput, Floats, Labels
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.predictions.gallery import show
from dacbn.analysis.presentation.pictures import Gallery
from dacbn.analysis.presentation.section import Row, Section

MOST = 24  # pictures of a domain
MAX_ROWS = 50  # of a table
ROUNDING = 1e-9  # of the mean of equal probabilities
PAPER = "confident learning, Northcutt et al. 2021"


def find_label_errors(probabilities: Floats, labels: Labels) -> tuple[Labels, Labels]:
    """Find labels that are suspected to be wrong.

    A class is confident for an image if its probability is at least the mean probability of that
    class among the images with its label. A label is suspected if the likeliest of the confident
    classes is another one (an off-diagonal entry of the paper's confident joint), which is also the
    likeliest of all classes.

    Args:
        probabilities: (N, C).
        labels: (N,).

    Returns:
        the suspected images, those first of which the other class is likelier than the label by
        most, and the other class of each: (M,) and (M,).

    Example:
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
        >>> rows, suggested = find_label_errors(p, np.array([0, 0, 1, 1, 0]))
        >>> rows.tolist(), suggested.tolist()
        ([4], [1])
    """
    num_classes = probabilities.shape[1]
    threshold = np.full(num_classes, np.inf)  # of a class that no image has
    for label in np.unique(labels):
        threshold[label] = probabilities[labels == label, label].mean()
    confident = np.where(probabilities >= threshold - ROUNDING, probabilities, -np.inf)
    suggested = confident.argmax(1)
    known = np.isfinite(confident.max(1)) & (suggested == probabilities.argmax(1))
    rows = np.flatnonzero(known & (suggested != labels))
    margin = probabilities[rows, suggested[rows]] - probabilities[rows, labels[rows]]
    rows = rows[np.argsort(-margin, kind="stable")]
    return rows, suggested[rows]


@analyses.add("suspected labels", order=12, needs=("subject", "outputs"))
def draw_label_errors(subject: Subject, outputs: Mapping[str, DomainOutput]) -> Section:
    """Show images of all labelled domains whose labels are suspected to be wrong.

    Args:
        subject: the network, with the images.
        outputs: of the network, by domain.

    Raises:
        ValueError: no domain has labels, or none is suspected.
    """
    findings: list[str] = []
    galleries: list[Gallery] = []
    tables: dict[str, list[Row]] = {}
    for domain, output in outputs.items():
        if output.labels is None:
            continue
        rows, suggested = find_label_errors(output.probabilities, output.labels)
        if not len(rows):
            continue
        sample = subject.samples[domain]
        findings.append(_finding(domain, len(rows), output))
        pictures = show(sample, output, rows[:MOST].tolist(), subject.classes)
        galleries.append(Gallery(f"{domain}: {len(rows)} suspected", (("", pictures),)))
        tables[f"Suspected labels of the {domain}"] = _table(
            sample, output, rows[:MAX_ROWS], suggested, subject.classes
        )
    if not findings:
        raise ValueError("no label is suspected, or there are none")
    return Section(
        "Suspected wrong labels", tuple(findings), tables=tables, galleries=tuple(galleries)
    )


def _finding(domain: str, count: int, output: DomainOutput) -> str:
    assert output.labels is not None
    right = float((output.predictions == output.labels).mean())
    sentence = (
        f"{domain}: {count} of {len(output.labels)} labels are suspected by the network's "
        f"confidence ({PAPER})"
    )
    if right < 0.9:
        sentence += (
            f"; since the network is right on {right:.0%} of them only, most may be its own "
            "mistakes: look at the pictures"
        )
    return f"{sentence}."


def _table(
    sample: Sample,
    output: DomainOutput,
    rows: Labels,
    suggested: Labels,
    classes: Sequence[str],
) -> list[Row]:
    assert output.labels is not None
    return [
        {
            "image": sample.name(row),
            "label": classes[output.labels[row]],
            "its probability": round(float(output.probabilities[row, output.labels[row]]), 3),
            "suggested": classes[other],
            "probability": round(float(output.probabilities[row, other]), 3),
        }
        for row, other in zip(rows.tolist(), suggested.tolist(), strict=False)
    ]
