"""Print test scores, and the evaluation that each selection rule picks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dacbn.intervals import Interval, wilson
from dacbn.plain_text import say
from dacbn.training import Choice, choose, evaluations_of
from dacbn.training.metrics import (
    CLASSES_PRESENT,
    NUM_IMAGES,
    TARGET_TEST_H_SCORE,
    TARGET_TEST_KNOWN,
    TARGET_TEST_UNKNOWN,
    TEST_ACCURACY,
    TEST_CLASS_ACCURACY,
)
from dacbn.training.score_intervals import by_domain, interval_of
from dacbn.training.selection import DOMAINBED, LAST, MEDIAN, MEDIAN_OF, ORACLE

NOTES = {
    "oracle": "(best on target labels; not available in practice)",
    DOMAINBED[ORACLE]: "(best on the unseen labels; not available in practice)",
}

OPEN_SET = {
    "known classes": TARGET_TEST_KNOWN,
    "unknown images": TARGET_TEST_UNKNOWN,
    "H-score (harmonic mean of both)": TARGET_TEST_H_SCORE,
}


def print_scores(
    numbers: Mapping[str, float],
    before: Mapping[str, float] | None = None,
    unseen: bool = False,
    num_classes: int = 0,
) -> None:
    """Print the accuracies on the test splits, one line each, with the changes since `before`.

    Intervals in brackets have a confidence level of 95 %.

    Args:
        numbers: scores by name.
        before: earlier ones.
        unseen: whether there was no target, so that its scores are those of unseen domains.
        num_classes: number of classes, for the accuracy by chance; 0 leaves it out.
    """
    for domain, name in TEST_ACCURACY.items():
        if name in numbers and TEST_CLASS_ACCURACY[domain] in numbers:
            accuracy, by_class = (
                f"{numbers[key]:.1%}{between}" + _change(numbers[key], before, key)
                for key, between in (
                    (name, _between(interval_of(numbers, domain))),
                    (TEST_CLASS_ACCURACY[domain], ""),
                )
            )
            several = by_domain(numbers, name)
            mean = f" (mean of {len(several)} domains)" if len(several) > 1 else ""
            classes = _classes(numbers, domain)
            title = "unseen" if unseen and domain == "target" else domain
            about = _about(numbers.get(NUM_IMAGES[domain]), num_classes)
            say(f"{title} test{mean}: accuracy {accuracy}, mean of {classes} {by_class}{about}")
            _print_open_set(domain, numbers, before)
            counts = by_domain(numbers, NUM_IMAGES[domain])
            _print_domains(several, by_domain(before or {}, name), counts)


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f" ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _about(count: float | None, num_classes: int) -> str:
    """Say how many images a score is of, and what chance would reach."""
    parts = [] if count is None else [f"{count:,.0f} image" + "s" * (count != 1)]
    parts += [f"chance {1 / num_classes:.1%}"] if num_classes else []
    return f"; {', '.join(parts)}" if parts else ""


def _classes(numbers: Mapping[str, float], domain: str) -> str:
    present = numbers.get(CLASSES_PRESENT[domain])
    words = "classes" if present is None else f"the {present:g} classes that occur"
    unknown = domain == "target" and TARGET_TEST_H_SCORE in numbers
    return f'{words} and "unknown"' if unknown else words


def _print_open_set(
    domain: str, numbers: Mapping[str, float], before: Mapping[str, float] | None
) -> None:
    """Print how well a target's known classes and its unknown images are told, if it has both."""
    if domain == "target" and TARGET_TEST_H_SCORE in numbers:
        shown = ", ".join(
            f"{name} {numbers[key]:.1%}{_change(numbers[key], before, key)}"
            for name, key in OPEN_SET.items()
        )
        say(f"  {shown}")


def _print_domains(
    scores: Mapping[str, float], before: Mapping[str, float], counts: Mapping[str, float]
) -> None:
    """Print the accuracy of each domain, one line each, and mark the worst."""
    worst = min(scores, key=scores.__getitem__, default="")
    for domain, score in scores.items():
        mark = "  ← worst" if domain == worst else ""
        count = counts.get(domain)
        between = _between(wilson(score, count)) if count else ""
        change = _change(score, before or None, domain)
        say(f"  {domain}: {score:.1%}{between}{change}{_about(count, 0)}{mark}")


def _change(score: float, before: Mapping[str, float] | None, key: str) -> str:
    return "" if before is None else f" ({100 * (score - before[key]):+.1f} points)"


def print_against(run: Path) -> None:
    """Print how far a run is from its baselines on the targets' test images, one line each."""
    from dacbn.processes import leads
    from dacbn.training.against import compare_kept, describe_against

    if not leads():  # other machines may not have the folder
        return
    for domain, baseline, found in compare_kept(run):
        say(describe_against(domain, baseline, found))


def print_choices(records: Sequence[Mapping[str, Any]], unseen: bool = False) -> None:
    """Print the evaluation that each rule selects from the records of a training, one line each.

    Args:
        records: of the training.
        unseen: whether there was no target, so that scores are those of unseen domains. Rules then
            have the names of DomainBed.
    """
    choices, count = choose(records), len(evaluations_of(records))
    if count < 2:  # there is nothing to choose between
        return
    tested = "accuracy on what was never trained on" if unseen else "target test accuracy"
    images = evaluations_of(records)[-1].get(NUM_IMAGES["target"])
    tested += "" if images is None else f" ({images:,.0f} images)"
    say(f"of {count} evaluations in training, with the {tested} there:")
    titles = {LAST: "last", MEDIAN: f"median of last {min(count, MEDIAN_OF)}"}
    titles |= DOMAINBED if unseen else {ORACLE: "oracle"}
    for choice in choices:
        say(_line(choice, titles, 28 if unseen else 26).rstrip())


def _line(choice: Choice, titles: Mapping[str, str], width: int) -> str:
    step = "" if choice.step is None else f"step {choice.step}"
    accuracy = "" if choice.accuracy is None else f"{choice.accuracy:.1%}"
    note = NOTES.get(titles.get(choice.rule, ""), "")
    title = titles.get(choice.rule, choice.rule.replace("_", " "))
    return f"  {title:<{width}}{step:<14}{accuracy:>6}  {note}"
