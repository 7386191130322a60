"""The summary of `dacbn predict`: how many images have each label, and how many are right."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def summarise(labels: "Tensor", classes: Sequence[str], failed: int, right: str) -> list[str]:
    """Write the lines of the summary.

    Args:
        labels: int64 (R,), of the images that can be read; the number of classes is "unknown".
        classes: names of the classes.
        failed: number of files that cannot be read.
        right: how many are right, in words.
    """
    from dacbn.datasets import UNKNOWN

    images = f"{len(labels):,} image" + "s" * (len(labels) != 1)
    lines = [f"{images} labelled" + (f", {failed:,} unreadable" if failed else "")]
    counts = labels.bincount(minlength=len(classes) + 1).tolist()
    named = sorted(zip(counts, (*classes, UNKNOWN), strict=True), key=lambda each: -each[0])
    lines += [f"  {name}: {count:,} ({count / len(labels):.0%})" for count, name in named if count]
    return [*lines, f"accuracy: {right}; chance {1 / len(classes):.1%}"]
