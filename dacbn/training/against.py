"""Compare the scores of a run with those of a baseline on the same images."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dacbn.intervals import Interval, paired
from dacbn.training.assemble import is_source_free
from dacbn.training.metrics import TARGET_TEST
from dacbn.training.right_answers import (
    Right,
    are_of_the_same,
    name_test,
    read_right,
    started,
)
from dacbn.training.run_info import read_run_info
from dacbn.training.siblings import find_baseline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STARTS = {True: "the run that it started from", False: "the linear probe of its first features"}


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


class Beside(NamedTuple):
    """A baseline of a run on one target.

    Attributes:
        domain: name of the target.
        baseline: what it is, in words.
        found: the difference.
    """

    domain: str
    baseline: str
    found: Against


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


def compare_kept(run: Path, baseline: Path | None = None) -> list[Beside]:
    """Compare a run on its targets with its baselines, by what their folders keep.

    Args:
        run: a run folder.
        baseline: a run folder to compare with; None looks for one, see `find_baseline`.

    Returns:
        for each target with labels, the difference from what the run started from and from the
        baseline; nothing where neither is known.
    """
    config, ours = read_run_info(run).config, read_right(run)
    other = find_baseline(run) if baseline is None else baseline
    known = {STARTS[is_source_free(config)]: started(ours)}
    if other is not None:
        known[str(read_run_info(other).config.method)] = read_right(other)
    return [
        Beside(domain, name, found)
        for name, theirs in known.items()
        for domain, found in compare_tests(ours, theirs).items()
    ]


def compare_tests(ours: Right, theirs: Right) -> dict[str, Against]:
    """Compare what is right of the same targets' test images, by the names of the targets."""
    kind = name_test(TARGET_TEST, "")
    return {
        test.removeprefix(kind): compare_right(right.numpy(), theirs[test].numpy())
        for test, right in ours.items()
        if test.startswith(kind) and test in theirs and are_of_the_same(ours, theirs, test)
    }


def describe_against(title: str, name: str, found: Against) -> str:
    """Say how far a run is from a baseline, and whether the images can tell the two apart."""
    low, high = (f"{100 * each:+.1f}" for each in found.interval)
    apart = "" if not found.interval.holds(0) else ": they cannot be told apart"
    return (
        f"{title} against {name} ({found.accuracy:.1%}): {100 * found.difference:+.1f} points "
        f"({low} to {high}), of the same {found.images:,} images{apart}"
    )
