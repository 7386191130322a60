"""Say what was seen in a place, so that a misread one is noticed before it is trained on."""

import logging
from collections.abc import Sequence
from pathlib import Path

LOGGER = logging.getLogger(__name__)
MAX_NAMED_DOMAINS = 20


def say_what_was_seen(
    place: str | Path,
    images: int,
    classes: int | None = None,
    purpose: str = "",
    domains: Sequence[str] = (),
) -> None:
    """Log a line about a place, at level INFO.

    Args:
        place: the place.
        images: number of images.
        classes: number of classes, if it is known.
        purpose: what the images are for, as " to train on".
        domains: the names of the domains.

    Example:
        >>> from dacbn.printed_log import printed_log
        >>> import sys
        >>> with printed_log(sys.stdout):
        ...     say_what_was_seen("photos.csv", 1240, 31, domains=("amazon", "webcam"))
        photos.csv: 1,240 images, 31 classes, domains amazon, webcam
    """
    parts = [f"{_count(images, 'image', 'images')}{purpose}"]
    if classes is not None:
        parts.append(_count(classes, "class", "classes"))
    if domains:
        more = ", …" if len(domains) > MAX_NAMED_DOMAINS else ""
        parts.append(f"domains {', '.join(domains[:MAX_NAMED_DOMAINS])}{more}")
    LOGGER.info("%s: %s", place, ", ".join(parts))


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
