"""The table of the accuracy that is estimated without labels of the target."""

from collections.abc import Sequence

from dacbn.comparison.grid import Variant
from dacbn.comparison.results import Result, finished
from dacbn.comparison.tables import NOTHING, Table


def estimate_table(results: Sequence[Result], variants: Sequence[Variant]) -> Table:
    """Tabulate the accuracy on the target that is estimated without its labels."""
    caption = (
        "Accuracy in % on unlabelled images of the target, estimated without labels at the last "
        "step: mean over seeds, from the lowest to the highest end of their 95 % intervals. Each "
        "training is also compared with one of another seed, if there is one. Where the evidence "
        "is thin, it says why, of the first such seed."
    )
    rows = [_row(results, variant) for variant in variants]
    headings = ["norm", "method", "estimated", "seeds that tell", "images", "why others do not"]
    return Table("Accuracy estimated without labels", caption, headings, rows)


def _row(results: Sequence[Result], variant: Variant) -> list[str]:
    ended = finished(results, variant).values()
    every = [each for result in ended for each in result.estimated]
    told = [each for each in every if each.can_tell]
    shown = "cannot tell" if every else NOTHING
    if told:
        low, high = min(each.low for each in told), max(each.high for each in told)
        mean = sum(each.accuracy for each in told) / len(told)
        shown = f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    why = next(("; ".join(each.thin) for each in every if not each.can_tell), NOTHING)
    images = f"{every[0].images:,}" if every else NOTHING
    return [variant.title, variant.method, shown, f"{len(told)} of {len(every)}", images, why]
