"""Average thresholded confidence (ATC).

Paper: Garg, Balakrishnan, Lipton, Neyshabur and Sedghi, "Leveraging Unlabeled Data to Predict
Out-of-Distribution Performance", ICLR 2022, https://arxiv.org/abs/2201.04234.

The threshold t is such that the share of held-out source images whose score is above t equals the
accuracy on them; the estimate is the share of target images above t. The score is the negative
entropy of the prediction, or its largest probability.
Differs from the paper: of images whose score equals the threshold, the same share counts in the
target as in the source, so that equal scores, as of a network that is sure of everything, do not
decide by rounding.
"""

from typing import Literal

import numpy as np

from dacbn.estimates.estimator import Seen, estimators


@estimators.register("atc")
def atc(seen: Seen, score: Literal["certainty", "confidence"] = "confidence") -> float:
    """Estimate the accuracy by the share of images above a threshold of confidence.

    Args:
        seen: answers to source and target.
        score: confidence, the largest probability; or certainty, minus the entropy.
    """
    source, target = getattr(seen.source, score), getattr(seen.target, score)
    wanted = int((seen.source.classes == seen.labels).sum())
    if not wanted:
        return 0.0
    threshold = np.sort(source)[len(source) - wanted]
    above, ties = (source > threshold).sum(), (source == threshold).sum()
    counted = (wanted - above) / ties
    return float((target > threshold).mean() + counted * (target == threshold).mean())
