"""Accuracy on the targets of a run, estimated from what its folder keeps."""

from functools import lru_cache
from pathlib import Path

from dacbn.estimates import Estimate, estimate, see
from dacbn.training.held_out import HELD_OUT
from dacbn.training.run_info import read_run_info
from dacbn.training.siblings import find_second
from dacbn.training.sure_methods import why_thin
from dacbn.training.target_outputs import TARGET_OUTPUTS, Apart, read_apart


def estimate_run(run: Path, second: Path | None = None) -> tuple[Estimate, ...]:
    """Estimate the accuracy on each target, without its labels.

    Args:
        run: a run folder.
        second: that of a second training to compare with; None looks for one in the comparison
            that the run is of.

    Returns:
        an estimate for each target; none if the run kept no outputs, as older ones do, or if an
        output is infinite or NaN.

    Raises:
        RunFolderError: the folder holds no run.
    """
    config = read_run_info(run).config
    if config.unknown:  # how many images are of no class is not known
        return ()
    other = find_second(run) if second is None else second
    written = _stamp(run), None if other is None else _stamp(other)
    return _estimate(run, other, written, why_thin(config.method))


def _stamp(run: Path) -> tuple[int, ...]:
    """Return when what a run keeps was written."""
    paths = (run / HELD_OUT, run / TARGET_OUTPUTS)
    return tuple(path.stat().st_mtime_ns for path in paths if path.exists())


@lru_cache(maxsize=4096)  # tables are written after each training of a comparison
def _estimate(
    run: Path, second: Path | None, _written: tuple[object, ...], thin: tuple[str, ...]
) -> tuple[Estimate, ...]:
    own = read_kept(run)
    other = None if second is None else read_kept(second)
    if own.held_out is None or not own.held_out.logits.isfinite().all():
        return ()
    found = []
    for place, target in enumerate(own.targets):
        pair = None
        if other is not None and _saw_the_same(own, other, place):
            assert other.held_out is not None
            pair = other.held_out, other.targets[place]
        if target.isfinite().all():
            found.append(estimate(see(own.held_out, target, pair), thin))
    return tuple(found)


def read_kept(run: Path) -> Apart:
    """Read what a run keeps of held-out source images and of its targets.

    Raises:
        RunFolderError: the folder holds no run.
    """
    return read_apart(run, len(read_run_info(run).classes))


def _saw_the_same(own: Apart, other: Apart, place: int) -> bool:
    if own.held_out is None or other.held_out is None or place >= len(other.targets):
        return False
    finite = all(each.isfinite().all() for each in (other.held_out.logits, other.targets[place]))
    same = other.targets[place].shape == own.targets[place].shape
    return finite and same and other.held_out.labels.equal(own.held_out.labels)
