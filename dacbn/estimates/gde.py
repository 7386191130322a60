"""Agreement of two trainings (generalisation disagreement equality, GDE).

Paper: Jiang, Nagarajan, Baek and Kolter, "Assessing Generalization of SGD via Disagreement", ICLR
2022, https://arxiv.org/abs/2106.13799.

Two trainings that differ by chance alone agree on as many images as each answers rightly, if their
ensemble is calibrated.
Differs from the paper: what agreement exceeds accuracy by on held-out source images is taken off on
the target.
"""

from dacbn.estimates.estimator import Seen, estimators, needs_second


@estimators.register("gde")
@needs_second
def gde(seen: Seen) -> float:
    """Estimate the accuracy by the agreement of two trainings, corrected on the source.

    Args:
        seen: answers of both to source and target.

    Raises:
        ValueError: there is no second training.
    """
    if seen.second is None:
        raise ValueError("gde compares two trainings: give a second one")
    source, target = (
        float((own.classes == other).mean())
        for own, other in zip((seen.source, seen.target), seen.second, strict=True)
    )
    return min(1.0, max(0.0, seen.source_accuracy - source + target))
