"""The images of a labelled target that the network gets wrong, the surest mistakes first."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from dacbn.analysis.analyses import analyses
from dacbn.analysis.observe.outputs import DomainOutput, Labels
from dacbn.analysis.observe.sides import is_source
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.predictions.gallery import show
from dacbn.analysis.presentation.pictures import Gallery
from dacbn.analysis.presentation.section import Section

MOST = 24  # surest mistakes that are shown
PAIRS, OF_PAIR = 6, 8  # pairs of classes that are confused most, and pictures of each


@analyses.add("mistakes", order=11, needs=("subject", "outputs"))
def draw_mistakes(subject: Subject, outputs: Mapping[str, DomainOutput]) -> list[Section]:
    """Show the images of each labelled target that the network gets wrong.

    Args:
        subject: the network, with the images.
        outputs: of the network, by domain.

    Raises:
        ValueError: no target has labels.
    """
    labelled = {
        domain: output
        for domain, output in outputs.items()
        if not is_source(domain) and output.labels is not None
    }
    if not labelled:
        raise ValueError("no target has labels, without which mistakes are not known")
    return [
        _section(domain, subject.samples[domain], output, subject.classes)
        for domain, output in labelled.items()
    ]


def _section(domain: str, sample: Sample, output: DomainOutput, classes: Sequence[str]) -> Section:
    assert output.labels is not None
    title = f"Misclassified {domain} images"
    wrong = np.flatnonzero(output.predictions != output.labels)
    total = len(output.labels)
    if not len(wrong):
        return Section(title, (f"All of {total} images are right.",))
    confidence = output.probabilities[wrong].max(1)
    order: Labels = wrong[np.argsort(-confidence, kind="stable")]
    pairs = Counter(
        zip(output.labels[order].tolist(), output.predictions[order].tolist(), strict=True)
    ).most_common(PAIRS)
    galleries = [
        Gallery("Surest mistakes", (("", show(sample, output, order[:MOST].tolist(), classes)),))
    ]
    for (label, predicted), count in pairs:
        here = (output.labels[order] == label) & (output.predictions[order] == predicted)
        pictures = show(sample, output, order[here][:OF_PAIR].tolist(), classes)
        head = f"{classes[label]} predicted as {classes[predicted]}: {count}"
        galleries.append(Gallery(head, (("", pictures),), folded=True))
    (label, predicted), count = pairs[0]
    finding = (
        f"{len(wrong)} of {total} images are wrong ({len(wrong) / total:.1%}), most often "
        f"{classes[label]} predicted as {classes[predicted]} ({count})."
    )
    return Section(title, (finding,), galleries=tuple(galleries))
