"""The images of the target whose answer differs between two networks."""

from collections.abc import Mapping, Sequence

import numpy as np

from dacbn.analysis.analyses import analyses, comparisons
from dacbn.analysis.observe.outputs import DomainOutput, Labels
from dacbn.analysis.observe.sides import is_source
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.predictions.gallery import describe, mark_wrong
from dacbn.analysis.presentation.pictures import Gallery, Picture, take_pictures
from dacbn.analysis.presentation.section import Section

MOST = 24  # pictures of a group


@analyses.add("changed answers", order=13, needs=("subject", "outputs", "against"))
def draw_changes(
    subject: Subject,
    outputs: Mapping[str, DomainOutput],
    against: tuple[str, Mapping[str, DomainOutput]],
) -> list[Section]:
    """Show the images of each target whose answer is another than that of another network.

    Args:
        subject: the network, with the images.
        outputs: of the network, by domain.
        against: the name of the other network, and its outputs for the same images.

    Raises:
        ValueError: there is no target.
    """
    name, before = against
    sections = [
        _section(domain, name, subject.samples[domain], before[domain], output, subject.classes)
        for domain, output in outputs.items()
        if not is_source(domain)
    ]
    if not sections:
        raise ValueError("there is no target, whose answers would be compared")
    return sections


@comparisons.add("changed answers", order=15, needs=("subjects", "outputs"))
def draw_changes_of_runs(
    subjects: Mapping[str, Subject], outputs: Mapping[str, Mapping[str, DomainOutput]]
) -> list[Section]:
    """Show the images of each target whose answer differs between two runs, the first one before.

    Raises:
        ValueError: there are not two runs with outputs for the same images, or there is no target.
    """
    if len(outputs) != 2:
        raise ValueError("changed answers are shown for two runs on the same images")
    first, second = outputs
    return draw_changes(subjects[second], outputs[second], (first, outputs[first]))


def _section(
    domain: str,
    name: str,
    sample: Sample,
    before: DomainOutput,
    after: DomainOutput,
    classes: Sequence[str],
) -> Section:
    changed = np.flatnonzero(before.predictions != after.predictions)
    confidence = after.probabilities[changed].max(1)
    order: Labels = changed[np.argsort(-confidence, kind="stable")]
    groups = _group(order, before, after)
    galleries = [
        Gallery(
            f"{words}: {len(rows)}",
            (("", _show(sample, before, after, rows[:MOST].tolist(), classes)),),
        )
        for words, rows in groups.items()
        if len(rows)
    ]
    total = len(after.predictions)
    finding = f"{len(changed)} of {total} answers differ from those of {name}"
    if after.labels is not None:
        finding += "; " + ", ".join(f"{words}: {len(rows)}" for words, rows in groups.items())
    title = f"{domain.capitalize()} images whose answer changed"
    return Section(title, (f"{finding}.",), galleries=tuple(galleries))


def _group(rows: Labels, before: DomainOutput, after: DomainOutput) -> dict[str, Labels]:
    """Sort changed images by whether the answer was and is right, if that is known."""
    if after.labels is None:
        return {"changed": rows}
    label = after.labels[rows]
    now, then = after.predictions[rows] == label, before.predictions[rows] == label
    return {"now right": rows[now], "now wrong": rows[then], "wrong as before": rows[~now & ~then]}


def _show(
    sample: Sample,
    before: DomainOutput,
    after: DomainOutput,
    rows: Sequence[int],
    classes: Sequence[str],
) -> tuple[Picture, ...]:
    lines = [
        (
            f"was {classes[before.predictions[row]]}: {before.probabilities[row].max():.2f}",
            f"now {classes[after.predictions[row]]}: {after.probabilities[row].max():.2f}",
            *describe(after, row, classes)[2:],
        )
        for row in rows
    ]
    return take_pictures(sample, rows, lines, mark_wrong(after, rows))
