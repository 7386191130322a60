"""How far estimates of accuracy were off in past comparisons, whose labels were held aside.

Mean absolute errors over the networks of RESULTS.md, "Accuracy estimated without labels", of which
the evidence was not thin. Without an estimator that compares two trainings, errors are larger.
"""

from collections.abc import Collection

WITH_SECOND = 0.05
ALONE = 0.07


def past_error(applied: Collection[str]) -> float:
    """Return the mean absolute error of the mean of these estimators, a share."""
    return WITH_SECOND if "gde" in applied else ALONE
