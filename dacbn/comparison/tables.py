"""The tables of a comparison, as text in cells: accuracies in percent, differences in points."""

from collections.abc import Sequence
from typing import NamedTuple

from dacbn.comparison.grid import Variant, baseline_method, baseline_of, reference_of
from dacbn.comparison.results import Result, accuracies, finished, images_of
from dacbn.comparison.statistics import (
    MIN_PAIRS,
    Difference,
    Summary,
    paired_difference,
    rank_correlation,
    summarise,
    weighted_rank_correlation,
)
from dacbn.intervals import newcombe, wilson
from dacbn.training.against import compare_tests
from dacbn.training.right_answers import read_right
from dacbn.training.selection import DOMAINBED, LAST, MEDIAN, ORACLE

NOTHING = "–"  # noqa: RUF001  # a dash in a cell
ALONE = (
    " Of a single seed, brackets hold the 95 % interval by these images (Wilson, and Newcombe for "
    "paired differences; of older runs, as if each had been tested on images of its own)."
)


class Table(NamedTuple):
    """A table with title and caption."""

    title: str
    caption: str
    headings: list[str]
    rows: list[list[str]]


def headline_table(results: Sequence[Result], variants: Sequence[Variant]) -> Table:
    """Tabulate the accuracy at the last step, and its difference from the reference variants."""
    steps = results[0].cell.config.steps
    method = baseline_method(variants)
    caption = (
        f"Target test accuracy in % at the last of {steps} steps, without any selection: mean ± "
        "standard deviation over seeds. Differences are paired over seeds, with 95 % confidence "
        f"intervals by Student's t: of the norm from {variants[0].norm} under the same method (of "
        "a control, from the norm it controls), and of the method from "
        f"{method} under the same norm. They are not corrected for multiple comparisons."
        f"{about_images(results, ALONE)}"
    )
    headings = ["norm", "method", "target accuracy", "seeds", "difference in norm"]
    headings += ["difference in method", "source accuracy", "training time"]
    rows = [_headline_row(results, variants, variant) for variant in variants]
    return Table("Accuracy", caption, headings, rows)


def _headline_row(
    results: Sequence[Result], variants: Sequence[Variant], variant: Variant
) -> list[str]:
    ours, ended = accuracies(results, variant), finished(results, variant).values()
    differences = [
        difference_from(results, variant, other)
        for other in (reference_of(variant, variants), baseline_of(variant, variants))
    ]
    seconds = summarise([result.seconds for result in ended])
    images = images_of(ended)
    return [
        variant.title,
        variant.method,
        percent(summarise(list(ours.values())), images),
        _seeds(results, variant),
        *(points(each, images) for each in differences),
        percent(summarise([result.source_accuracy for result in ended])),
        NOTHING if seconds is None else f"{seconds.mean:.0f} s",
    ]


def about_images(results: Sequence[Result], alone: str = "") -> str:
    """Say how many images were tested, and what chance reaches; nothing if it is not known.

    Args:
        results: of cells.
        alone: follows, what the intervals of single seeds are.
    """
    counts = sorted({result.images for result in results if result.images is not None})
    if not counts:
        return ""
    images = f" Test images of the target: {' or '.join(f'{each:,}' for each in counts)}."
    chance = f" Chance: {100 / max(each.classes for each in results):.1f}."
    return f"{images}{chance}{alone}"


def difference_from(
    results: Sequence[Result], variant: Variant, other: Variant | None
) -> Difference | None:
    """Compare a variant's accuracies at the last step with another's; None without another."""
    if other is None:
        return None
    own = accuracies(results, variant)
    found = paired_difference(own, accuracies(results, other))
    if found is None or found.pairs > 1:
        return found
    ours, theirs = finished(results, variant), finished(results, other)
    (seed,) = own.keys() & accuracies(results, other).keys()
    folders = [each[seed].folder for each in (ours, theirs)]
    compared = compare_tests(*({} if each is None else read_right(each) for each in folders))
    if len(compared) != 1:  # the mean of several targets
        return found
    return found._replace(by_images=next(iter(compared.values())).interval)


def choice_table(results: Sequence[Result], variants: Sequence[Variant]) -> Table:
    """Tabulate the accuracy at the evaluation that each rule selects."""
    rules = rules_of(results)
    caption = (
        "Mean target test accuracy in % at the evaluation that each rule selects; the median is "
        "that of the last ten evaluations, or of all if there are fewer. The oracle uses target "
        f"labels, and is not available in practice.{about_images(results)}"
    )
    has_target = bool(results[0].cell.config.target)
    headings = ["norm", "method", *(rule_title(rule, has_target) for rule in rules)]
    rows = []
    for variant in variants:
        chosen = [summarise(list(accuracies(results, variant, rule).values())) for rule in rules]
        means = [NOTHING if each is None else f"{100 * each.mean:.1f}" for each in chosen]
        rows.append([variant.title, variant.method, *means])
    return Table("Accuracy by selection rule", caption, headings, rows)


def rule_title(rule: str, has_target: bool) -> str:
    """Return the heading of a selection rule; see `DOMAINBED` for those without a target."""
    titles = {MEDIAN: "median of last ten", ORACLE: "oracle (not available)"}
    titles |= {} if has_target else DOMAINBED
    return titles.get(rule, rule.replace("_", " "))


def rules_of(results: Sequence[Result]) -> list[str]:
    """List the selection rules of all cells: first the last step, finally the oracle."""
    rules = dict.fromkeys(rule for result in results for rule in result.accuracies)
    return [rule for rule in rules if rule != ORACLE] + [rule for rule in rules if rule == ORACLE]


def correlation_table(results: Sequence[Result]) -> Table:
    """Tabulate how well each validator ranks the trained networks."""
    caption = (
        "Rank correlation (Spearman) of each validator with the target test accuracy, over the "
        "networks of all cells at their last step; in the weighted one, the weight of a network "
        "is the square of its larger rank. 1 is a perfect order, 0 none."
    )
    rows = []
    for name in dict.fromkeys(name for result in results for name in result.scores):
        pairs = [
            (r.scores[name], r.accuracies[LAST])
            for r in results
            if name in r.scores and LAST in r.accuracies
        ]
        if len(pairs) < MIN_PAIRS:  # any order of these may be chance
            continue
        scores, truth = zip(*pairs, strict=True)
        found = [rank_correlation(scores, truth), weighted_rank_correlation(scores, truth)]
        shown = [NOTHING if each is None else _signed(each, 2) for each in found]
        rows.append([name.replace("_", " "), *shown, str(len(pairs))])
    headings = ["validator", "rank correlation", "weighted", "networks"]
    return Table("How well validators rank networks", caption, headings, rows)


def percent(summary: Summary | None, images: int | None = None) -> str:
    """Format a share in percent, with the standard deviation if there is one.

    Args:
        summary: of one share or several.
        images: number of images of a single share, which give it an interval.
    """
    if summary is None:
        return NOTHING
    deviation = "" if summary.sd is None else f" ± {100 * summary.sd:.1f}"
    if summary.sd is None and images:
        low, high = wilson(summary.mean, images)
        deviation = f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * summary.mean:.1f}{deviation}"


def points(difference: Difference | None, images: int | None = None) -> str:
    """Format a difference of shares in percentage points, with its interval if there is one.

    Args:
        difference: of one pair or several.
        images: number of images of a single pair, which give it an interval.
    """
    if difference is None:
        return NOTHING
    interval, note = difference.interval, ""
    if interval is None:
        note, interval = " (1 seed)", difference.by_images
        if interval is None and images and difference.shares is not None:
            first, second = difference.shares
            interval = newcombe(first, images, second, images)
    between = "" if interval is None else f" [{', '.join(_signed(100 * end) for end in interval)}]"
    return f"{_signed(100 * difference.mean)}{between}{note}"


def _seeds(results: Sequence[Result], variant: Variant) -> str:
    count = len(finished(results, variant))
    planned = sum(result.cell.variant == variant for result in results)
    text = f"{count} seed" if count == 1 else f"{count} seeds"
    return text if count == planned else f"{text} of {planned}"


def _signed(number: float, digits: int = 1) -> str:
    return f"{number:+.{digits}f}".replace("-", "−")  # noqa: RUF001  # a minus
