"""How far estimates of accuracy were off in past comparisons, whose labels were held aside.

Over the networks of RESULTS.md, "Accuracy estimated without labels", of which the evidence was not
thin: photographs of three seeds, also with two sources, and digits; with a second training those of
all digits. Networks of a pair of domains err alike, so that the number of pairs counts.
"""

from collections.abc import Collection
from typing import NamedTuple


class PastError(NamedTuple):
    """Errors of the mean of several estimators.

    Attributes:
        root_mean_square: of the errors, a share.
        pairs: of domains.
    """

    root_mean_square: float
    pairs: int


ALONE = PastError(0.071, 8)  # atc, doc and cot
WITH_SECOND = PastError(0.064, 5)  # the same and gde


def past_reach(applied: Collection[str]) -> float:
    """Return how far 95 % of the errors of these estimators' mean reach, by Student's t."""
    from scipy.stats import t

    found = WITH_SECOND if "gde" in applied else ALONE
    return float(t.ppf(0.975, found.pairs - 1)) * found.root_mean_square
