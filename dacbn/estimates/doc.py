"""Difference of confidences (DoC).

Paper: Guillory, Shankar, Ebrahimi, Darrell and Schmidt, "Predicting with Confidence on Unseen
Distributions", ICCV 2021, https://arxiv.org/abs/2107.03315.

The accuracy falls from source to target as much as the mean confidence does.
Differs from the paper: the fall counts fully, where the paper fits a regression to many shifts
whose accuracy is known.
"""

from dacbn.estimates.estimator import Seen, estimators


@estimators.register("doc")
def doc(seen: Seen) -> float:
    """Estimate the accuracy by the source's, less the fall of the mean confidence.

    Args:
        seen: answers to source and target.
    """
    fall = seen.source.confidence.mean() - seen.target.confidence.mean()
    return min(1.0, max(0.0, seen.source_accuracy - float(fall)))
