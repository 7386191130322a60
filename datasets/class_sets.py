"""Compare the classes of domains: a target may lack some, and have unknown ones by choice."""

import logging
import warnings
from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from dacbn.datasets.images import LabelledImages
from dacbn.spelling import spell

LOG = logging.getLogger(__name__)
UNKNOWN = "unknown"  # the one class of all images whose classes the source lacks
ALIKE = 0.8  # of difflib's similarity of names, in [0, 1]


def match_classes(
    domain: LabelledImages, classes: Sequence[str], unknown: bool = False
) -> LabelledImages:
    """Return a domain with its labels as positions in `classes`, of which it may lack some.

    Args:
        domain: the domain.
        classes: those of the source.
        unknown: take other classes too: all of them become one, "unknown", which follows `classes`.

    Raises:
        ValueError: it has a class that is not among them, and `unknown` is not set; or the source
            has a class of that name.

    Example:
        >>> from dacbn.datasets import labelled
        >>> pets = labelled(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), ["cat", "fox", "emu"])
        >>> match_classes(pets, ("ant", "cat"), unknown=True).labels.tolist()
        [1, 2, 2]
    """
    if not unknown:
        check_known_classes(classes, domain.classes)
    if domain.classes == tuple(classes):
        return domain
    named = with_unknown(classes) if unknown else tuple(classes)
    positions = find_positions(domain.classes, classes)[domain.labels.cpu()]
    return LabelledImages(domain.images, positions, named)


def find_positions(names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Return the position of each name in `classes`, int64 (N,), or their number for another.

    It warns of names that may be classes spelt otherwise.
    """
    extra = [name for name in names if name not in classes and name != UNKNOWN]
    if question := ask_about_names(extra, classes):
        warnings.warn(f"taken as unknown: {extra}{question}", stacklevel=2)
    positions = {name: position for position, name in enumerate(classes)}
    return torch.tensor([positions.get(name, len(classes)) for name in names])


def with_unknown(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of a source, and "unknown".

    Raises:
        ValueError: the source has a class of that name.
    """
    if UNKNOWN in classes:
        raise ValueError(
            f"the source has a class named {UNKNOWN!r}, which stands for classes that it lacks: "
            "rename it"
        )
    return (*classes, UNKNOWN)


def check_same_classes(source_classes: Sequence[str], target_classes: Sequence[str]) -> None:
    """Check that both domains have the same classes in the same order.

    Raises:
        ValueError: they do not; the message names the classes that only one domain has.
    """
    if tuple(source_classes) == tuple(target_classes):
        return
    missing = [name for name in source_classes if name not in target_classes]
    extra = [name for name in target_classes if name not in source_classes]
    if not missing and not extra:
        raise ValueError(f"both domains must list the classes in one order: {list(source_classes)}")
    raise ValueError(
        f"source and target must have the same classes: the target lacks {missing} and adds "
        f"{extra}; rename or remove class folders until they match"
    )


def check_one_class_set(
    first: str, first_classes: Sequence[str], other: str, classes: Sequence[str]
) -> None:
    """Check that two sources have the same classes.

    Args:
        first: name of the first source.
        first_classes: its classes.
        other: name of the other.
        classes: its classes.

    Raises:
        ValueError: they do not.
    """
    if set(first_classes) != set(classes):
        lacking = sorted(set(first_classes) - set(classes))
        added = sorted(set(classes) - set(first_classes))
        raise ValueError(
            f"all sources must have the same classes: {other} lacks {lacking} of {first} and adds "
            f"{added}{ask_about_names(added, lacking)}; rename or remove class folders until they "
            "match"
        )


def check_known_classes(known: Sequence[str], classes: Sequence[str]) -> None:
    """Check that classes of a target are those of the source, or some of them.

    Raises:
        ValueError: they are not; the message asks about those that differ little from one.
    """
    extra = [name for name in classes if name not in known]
    if extra:
        raise ValueError(
            f"the target has classes that the source lacks: {extra}{ask_about_names(extra, known)}"
            f"; rename or remove them, train with {spell('unknown', True)} to have them answered "
            f"as one class {UNKNOWN!r}, or give the target without labels"
        )


def log_class_set(what: str, domain: LabelledImages, classes: Sequence[str]) -> None:
    """Log how many classes a labelled domain has, if these are not just those of the source.

    Args:
        what: words for the domain.
        domain: the domain, with labels in `classes`, or after these for unknown ones.
        classes: those of the source.
    """
    counts = domain.labels.bincount(minlength=len(classes) + 1)
    present, unknown = int((counts[: len(classes)] > 0).sum()), int(counts[len(classes)])
    if present < len(classes) or unknown:
        added = f", and {unknown} images of unknown classes" if unknown else ""
        LOG.info("%s has %d of the %d classes%s", what, present, len(classes), added)


def ask_about_names(extra: Sequence[str], known: Sequence[str]) -> str:
    """Ask whether names that are not known mean some that are, in words after these names.

    Example:
        >>> ask_about_names(["desk_lamp", "bike"], ["desk lamp", "pen"])
        " (did you mean 'desk lamp' by 'desk_lamp'? rename one)"
    """
    folded = {_fold(name): name for name in known}
    near = {name: get_close_matches(_fold(name), folded, n=1, cutoff=ALIKE) for name in extra}
    found = [
        f"{folded[like[0]]!r} by {name!r}"
        for name, like in near.items()
        if like and not name.isdecimal()
    ]
    return f" (did you mean {' and '.join(found)}? rename one)" if found else ""


def _fold(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ")
