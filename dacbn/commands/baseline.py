"""Compare the scores of a run with those of a baseline on the same images."""

from typing import TYPE_CHECKING, NamedTuple

from dacbn.intervals import Interval, paired

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Against(NamedTuple):
    """The difference from a baseline on the same images.

    Attributes:
        accuracy: of the baseline.
        difference: of the run minus the baseline.
        interval: of the difference.
        images: how many both answered.
    """

    accuracy: float
    difference: float
    interval: Interval
    images: int


def compare_right(ours: "NDArray[np.bool_]", theirs: "NDArray[np.bool_]") -> Against:
    """Compare which of the same images two runs answer rightly.

    Args:
        ours: whether each test image is answered rightly (N,).
        theirs: likewise, by the baseline.

    Raises:
        ValueError: they are not as many.
    """
    if len(ours) != len(theirs):
        raise ValueError(
            f"the baseline was tested on {len(theirs)} images, and the run on {len(ours)}: give a "
            "baseline that was trained on the same images"
        )
    counts = [int((a & b).sum()) for a in (ours, ~ours) for b in (theirs, ~theirs)]
    difference = float(ours.mean() - theirs.mean())
    return Against(float(theirs.mean()), difference, paired(*counts), len(ours))


def describe_against(title: str, name: str, found: Against) -> str:
    """Say how far a run is from a baseline, and whether the images can tell the two apart."""
    low, high = (f"{100 * each:+.1f}" for each in found.interval)
    apart = "" if not found.interval.holds(0) else ": they cannot be told apart"
    return (
        f"{title} against {name} ({found.accuracy:.1%}): {100 * found.difference:+.1f} points "
        f"({low} to {high}), of the same {found.images:,} images{apart}"
    )
