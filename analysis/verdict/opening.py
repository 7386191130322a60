"""The first sentences about a run: how good it is on the target, and what to do next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.sides import pool
from dacbn.estimates import Estimate, estimate, in_short, see
from dacbn.intervals import Interval, newcombe
from dacbn.label_shift import HeldOut
from dacbn.training import RunInfo, name_places, name_unseen, read_records, read_run_info
from dacbn.training.against import compare_tests
from dacbn.training.estimated_run import estimate_run
from dacbn.training.metrics import NUM_IMAGES, TEST_ACCURACY
from dacbn.training.right_answers import Right, read_right, started
from dacbn.training.score_intervals import by_domain, interval_of
from dacbn.training.siblings import BASELINE, find_baseline
from dacbn.training.sure_methods import why_thin

TINY = 1e-12  # below which a probability has no logarithm


class Known(NamedTuple):
    """What is known of a run's accuracy.

    Attributes:
        info: its settings and classes.
        scores: the last recorded ones, by name.
        estimated: of each target; empty without outputs.
        right: which test images are answered rightly, by test set; empty if it was not kept.
    """

    info: RunInfo
    scores: Mapping[str, float]
    estimated: tuple[Estimate, ...]
    right: Right = MappingProxyType({})


def opening(
    run: Path,
    outputs: Mapping[str, DomainOutput] | None = None,
    baseline: Path | None = None,
) -> list[str]:
    """Say in plain sentences how good a run is on its target.

    Args:
        run: the run folder.
        outputs: of its network, by domain, as analyses of a report share them; they are used where
            the run folder keeps none, as those of older runs.
        baseline: a run folder to compare with; None looks for one in the comparison that the run
            is of.

    Returns:
        at least one sentence; the last is advice.

    Raises:
        RunFolderError: the folder holds no run.
    """
    known = _read(run, outputs)
    other = find_baseline(run) if baseline is None else baseline
    return write_opening(known, None if other is None else _read(other))


def write_opening(known: Known, baseline: Known | None = None) -> list[str]:
    """Write the sentences of `opening` from what is known."""
    config = known.info.config
    if not (config.target or config.unseen):
        return _without_target(known)
    labelled = TEST_ACCURACY["target"] in known.scores
    sentences = _measured(known, baseline) if labelled else _estimated(known, baseline)
    return [*sentences, _advise(known, baseline)]


def _read(run: Path, outputs: Mapping[str, DomainOutput] | None = None) -> Known:
    info = read_run_info(run)
    rows = read_records(run)
    tested = [row for row in rows if any(name in row for name in TEST_ACCURACY.values())]
    estimated = estimate_run(run) or _from_outputs(outputs or {}, info)
    return Known(info, tested[-1] if tested else {}, estimated, read_right(run))


def _from_outputs(outputs: Mapping[str, DomainOutput], info: RunInfo) -> tuple[Estimate, ...]:
    source, target = pool(outputs, True), pool(outputs, False)
    if source is None or target is None or source.labels is None or info.config.unknown:
        return ()
    logits, own = (
        torch.from_numpy(np.log(each.probabilities.clip(TINY))) for each in (source, target)
    )
    if not (logits.isfinite().all() and own.isfinite().all()):
        return ()
    return (
        estimate(
            see(HeldOut(logits, torch.from_numpy(source.labels)), own),
            why_thin(info.config.method),
        ),
    )


def _without_target(known: Known) -> list[str]:
    """Write sentences on a run that has nothing but sources."""
    parts = ["There is no target"]
    accuracy = known.scores.get(TEST_ACCURACY["source"])
    if accuracy is not None:
        parts.append(f"{accuracy:.1%}{_between(interval_of(known.scores, 'source'))} on the source")
    parts += _size(known, known.scores.get(NUM_IMAGES["source"]))
    return ["; ".join(parts) + ".", "Score a domain that it was not trained on: dacbn evaluate."]


def _title(known: Known) -> str:
    return "Target" if known.info.config.target else "Unseen domain"


def _measured(known: Known, baseline: Known | None) -> list[str]:
    """Write sentences on a target with labels: a failure first."""
    name = TEST_ACCURACY["target"]
    accuracy, chance = known.scores[name], 1 / len(known.info.classes)
    interval = interval_of(known.scores, "target")
    several = len(by_domain(known.scores, name))
    parts = [f"{_title(known)}{f' (mean of {several})' if several else ''}: {accuracy:.1%} right"]
    parts[0] += _between(interval)
    parts += [*_size(known, known.scores.get(NUM_IMAGES["target"])), *_beside(known, baseline)]
    sentences = ["; ".join(parts) + "."]
    if interval is not None and interval.low <= chance:
        sentences.insert(
            0, f"It failed: the target is answered no better than chance ({chance:.1%})."
        )
    elif (against := _against(known, baseline)) is not None and against.high < 0:
        sentences.insert(0, "It failed: worse than without adaptation.")
    if len(known.estimated) == 1:
        (found,) = known.estimated
        told = in_short(found) if found.can_tell else f"could not be told: {_reasons(found)}"
        sentences.append(f"Without labels it {'would be ' if found.can_tell else ''}{told}.")
    return sentences


def _estimated(known: Known, baseline: Known | None) -> list[str]:
    """Write sentences on targets without labels."""
    if not known.estimated:
        parts = [
            f"{_title(known)}: cannot tell, as there are no labels, and no outputs to estimate from"
        ]
        return ["; ".join([*parts, *_size(known, None), *_beside(known, baseline)]) + "."]
    count, info = len(known.info.config.source), known.info
    names: Sequence[str] = name_places(info.config)[count:] or name_unseen(info.config)
    sentences = []
    for place, found in enumerate(known.estimated):
        alone = len(known.estimated) == 1
        title = _title(known) if alone else f"{_title(known)} {names[place]}"
        told = in_short(found) if found.can_tell else f"cannot tell, as {_reasons(found)}"
        parts = [f"{title}: {told}", *_size(known, found.images)]
        if place == 0:
            parts += _beside(known, baseline)
        sentences.append("; ".join(parts) + ".")
    return sentences


def _reasons(found: Estimate) -> str:
    return ", and ".join(found.thin)


def _size(known: Known, count: float | None) -> list[str]:
    classes = len(known.info.classes)
    images = [] if count is None else [f"{count:,.0f} images"]
    return [", ".join([*images, f"{classes} classes, chance {1 / classes:.1%}"])]


def _beside(known: Known, baseline: Known | None) -> list[str]:
    """Say what the baseline reaches, and what the source."""
    parts = []
    if baseline is not None:
        name = str(baseline.info.config.method)
        against = _against(known, baseline)
        if against is not None:
            theirs = baseline.scores[TEST_ACCURACY["target"]]
            gap = known.scores[TEST_ACCURACY["target"]] - theirs
            parts.append(f"{name} {theirs:.1%}: {_points(gap, against)}")
        elif len(baseline.estimated) == 1:
            (found,) = baseline.estimated
            told = f" {in_short(found)}" if found.can_tell else ": cannot tell"
            parts.append(name + told)
    for domain, first in compare_tests(known.right, started(known.right)).items():
        title = f"at the start{'' if len(known.info.config.target) < 2 else f', {domain}'}"
        parts.append(f"{title} {first.accuracy:.1%}: {_points(first.difference, first.interval)}")
    source = known.scores.get(TEST_ACCURACY["source"])
    if source is not None:
        parts.append(f"source {source:.1%}{_between(interval_of(known.scores, 'source'))}")
    return parts


def _against(known: Known, baseline: Known | None) -> Interval | None:
    """Return the interval of the difference from a baseline; None if it cannot be known."""
    name, number = TEST_ACCURACY["target"], NUM_IMAGES["target"]
    if baseline is None or by_domain(known.scores, name):
        return None
    if len(same := compare_tests(known.right, baseline.right)) == 1:
        return next(iter(same.values())).interval
    each: list[Any] = [one.scores.get(key) for one in (known, baseline) for key in (name, number)]
    return None if None in each else newcombe(*each)


def _advise(known: Known, baseline: Known | None) -> str:
    """Choose the one next step that fits what is known."""
    source = interval_of(known.scores, "source")
    if source is not None and source.high < 0.5 + 0.5 / len(known.info.classes):
        return "First train until the source is learned: nothing else can be transferred."
    against = _against(known, baseline)
    if against is not None and against.high < 0:
        return f"Use the run of {BASELINE}, or another method."
    if against is not None and against.holds(0):
        return "The two cannot be told apart by these images: more of them, or seeds, are needed."
    if TEST_ACCURACY["target"] in known.scores:
        return "Look first at the classes that are confused most."
    if not known.estimated or not all(each.can_tell for each in known.estimated):
        return (
            "Label 50 target images of all kinds and evaluate on them: that tells within 14 points."
        )
    return "Look at the least sure images first: dacbn predict lists each image's confidence."


def _points(difference: float, interval: Interval) -> str:
    low, high = (f"{100 * each:+.1f}" for each in interval)
    return f"{100 * difference:+.1f} points ({low} to {high})"


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f" ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
