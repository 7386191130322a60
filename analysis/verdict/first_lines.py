"""The first lines of a report: how many images are right, of how many, or that this is unknown."""

from collections.abc import Mapping, Sequence

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.sides import is_source


def first_lines(
    outputs: Mapping[str, DomainOutput] | None,
    classes: Sequence[str],
    against: tuple[str, Mapping[str, DomainOutput]] | None = None,
) -> tuple[str, ...]:
    """Say for each domain, targets first, how many of its images the network gets right.

    Args:
        outputs: of the network, by domain; None if its images cannot be read.
        classes: class names.
        against: the name of another network, and its outputs for the same images.

    Example:
        >>> import numpy as np
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2]])
        >>> outputs = {"target": DomainOutput(p, p, np.array([0, 1]))}
        >>> first_lines(outputs, ("cup", "pen"))
        ('Target: 50.0% of 2 images are right (2 classes).',)
    """
    found = outputs or {}
    return tuple(
        f"{domain.capitalize()}: {_say(found[domain], classes)}{_other(domain, against)}."
        for domain in sorted(found, key=is_source)
    )


def _say(output: DomainOutput, classes: Sequence[str]) -> str:
    count = len(output.predictions)
    if output.labels is None:
        confidence = output.probabilities.max(1).mean()
        return (
            f"{count} images without labels ({len(classes)} classes), so how many answers are "
            f"right is unknown; the network gives its answers a mean probability of "
            f"{confidence:.2f}, which is no accuracy"
        )
    right = (output.predictions == output.labels).mean()
    return f"{right:.1%} of {count} images are right ({len(classes)} classes)"


def _other(domain: str, against: tuple[str, Mapping[str, DomainOutput]] | None) -> str:
    if against is None or domain not in against[1]:
        return ""
    output = against[1][domain]
    if output.labels is None:
        return ""
    return f"; {against[0]}: {(output.predictions == output.labels).mean():.1%}"
