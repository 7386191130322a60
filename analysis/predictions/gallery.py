"""The images of the target by predicted class: those the network is surest of, and least sure."""

from collections.abc import Mapping, Sequence

import numpy as np

from dacbn.analysis.analyses import analyses
from dacbn.analysis.observe.outputs import DomainOutput, Labels
from dacbn.analysis.observe.sides import is_source
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.presentation.pictures import Gallery, Picture, take_pictures
from dacbn.analysis.presentation.section import Section

MAX_PICTURES = 480  # of one domain: about 1 MB of the page
MAX_CLASSES = 60  # with pictures, the most predicted ones
MOST, FEWEST = 8, 3  # pictures of a row
OPEN = 8  # classes from which all are folded
LISTED = 2  # likeliest classes below a picture


@analyses.add("target images", order=10, needs=("subject", "outputs"))
def draw_gallery(subject: Subject, outputs: Mapping[str, DomainOutput]) -> list[Section]:
    """Show images of each target by predicted class, the surest and the least sure.

    Args:
        subject: the network, with the images.
        outputs: of the network, by domain.

    Raises:
        ValueError: there is no target.
    """
    targets = [domain for domain in outputs if not is_source(domain)]
    if not targets:
        raise ValueError("there is no target, whose images would be shown")
    return [
        make_gallery(
            f"{domain.capitalize()} images by predicted class",
            *(subject.samples[domain], outputs[domain], subject.classes),
        )
        for domain in targets
    ]


def make_gallery(
    title: str, sample: Sample, output: DomainOutput, classes: Sequence[str]
) -> Section:
    """Show the images of one domain by predicted class, the surest and the least sure.

    Args:
        title: of the section.
        sample: N images.
        output: of the network for them.
        classes: class names.
    """
    counts = np.bincount(output.predictions, minlength=len(classes))
    shown = [int(label) for label in np.argsort(-counts, kind="stable")[:MAX_CLASSES]]
    shown = [label for label in shown if counts[label]]
    each = min(MOST, max(FEWEST, MAX_PICTURES // max(2 * len(shown), 1)))
    galleries = tuple(
        _of_class(label, each, sample, output, classes, folded=len(shown) > OPEN) for label in shown
    )
    return Section(title, _findings(counts, output, classes), galleries=galleries)


def describe(output: DomainOutput, row: int, classes: Sequence[str]) -> tuple[str, ...]:
    """Say what the network says of an image, and its label if it has one."""
    shares = output.probabilities[row]
    likeliest = np.argsort(-shares, kind="stable")[:LISTED]
    lines = [f"{classes[label]}: {shares[label]:.2f}" for label in likeliest]
    if output.labels is not None:
        lines.append(f"label: {classes[output.labels[row]]}")
    return tuple(lines)


def show(
    sample: Sample, output: DomainOutput, rows: Sequence[int], classes: Sequence[str]
) -> tuple[Picture, ...]:
    """Make pictures of images with what the network says of them; wrong answers are marked."""
    lines = [describe(output, row, classes) for row in rows]
    return take_pictures(sample, rows, lines, mark_wrong(output, rows))


def mark_wrong(output: DomainOutput, rows: Sequence[int]) -> list[bool]:
    """Say of each image whether its answer is wrong; empty where that is not known."""
    if output.labels is None:
        return []
    return [bool(output.predictions[row] != output.labels[row]) for row in rows]


def _of_class(
    label: int,
    count: int,
    sample: Sample,
    output: DomainOutput,
    classes: Sequence[str],
    folded: bool,
) -> Gallery:
    members = np.flatnonzero(output.predictions == label)
    confidence = output.probabilities[members, label]
    order: Labels = members[np.argsort(-confidence, kind="stable")]
    surest, rest = order[:count], order[count:]
    rows = [("surest", surest), ("least sure", rest[::-1][:count])]
    title = (
        f"{classes[label]}: {len(members)} image{'' if len(members) == 1 else 's'}, "
        f"mean probability {confidence.mean():.2f}"
    )
    pictures = tuple(
        (words, show(sample, output, chosen.tolist(), classes))
        for words, chosen in rows
        if len(chosen)
    )
    return Gallery(title, pictures, folded)


def _findings(counts: Labels, output: DomainOutput, classes: Sequence[str]) -> tuple[str, ...]:
    total, confidence = len(output.predictions), output.probabilities.max(1)
    most = int(counts.argmax())
    sentences = [
        f"Of {total} images, {counts[most]} are predicted as {classes[most]}, the most frequent "
        f"class; the mean probability of the predicted class is {confidence.mean():.2f}, and "
        f"{int((confidence < 0.5).sum())} images have less than 0.50.",
        "Each row shows the surest or least sure images first, with their names and the likeliest "
        "classes; the probabilities are the network's own"
        + (", and wrong answers are framed." if output.labels is not None else "."),
    ]
    missing = [classes[int(label)] for label in np.flatnonzero(counts == 0)]
    if missing:
        named = ", ".join(missing[:6]) + (
            f" and {len(missing) - 6} more" if len(missing) > 6 else ""
        )
        sentences.append(f"No image is predicted as {named}.")
    if (used := int((counts > 0).sum())) > MAX_CLASSES:
        sentences.append(f"Pictures are of the {MAX_CLASSES} most predicted of {used} classes.")
    return tuple(sentences)
