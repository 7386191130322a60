"""The first sentences about a run: how good it is on the target, and what to do next."""

from collections.abc import Mapping
from pathlib import Path

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.training.curves import compute_curves
from dacbn.training import read_records
from dacbn.training.metrics import TEST_ACCURACY


def opening(
    run: Path,
    outputs: Mapping[str, DomainOutput] | None = None,
    baseline: Path | None = None,
) -> list[str]:
    """Say in plain sentences how good a run is on its target.

    Args:
        run: the run folder.
        outputs: of its network, by domain, as analyses of a report share them; None takes what the
            run folder keeps.
        baseline: a run folder to compare with; None looks for one in the comparison that the run
            is of.

    Returns:
        at least one sentence; the last is advice.

    Raises:
        RunFolderError: the folder holds no run.
    """
    curves = compute_curves(read_records(run))
    domains = [domain for domain in ("target", "source") if TEST_ACCURACY[domain] in curves]
    parts = [f"{curves[TEST_ACCURACY[each]][-1, 1]:.1%} on the {each}" for each in domains]
    return [f"The last test accuracy is {' and '.join(parts)}."] if parts else ["No score."]
