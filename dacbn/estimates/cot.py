"""Confidence optimal transport (COT).

Paper: Lu, Wang, Zhai, Kolter, Sanborn, Zhang, Zhou and Kolter, "Characterizing Out-of-Distribution
Error via Optimal Transport", NeurIPS 2023, https://arxiv.org/abs/2305.15640.

Classes are given to the images so that each has the share that it has in the source and the sum of
the given classes' probabilities is largest; the mean of these is the estimate. Where many images
are predicted as one class, some are given others, of low probability: what collapses does not look
good, however confident it is. It takes the target to have the source's class shares.
Differs from the paper: what the mean misses of the accuracy on held-out source images is added, and
of many images each block of 500 is matched for itself.
"""

import numpy as np

from dacbn.estimates.estimator import Floats, Seen, estimators

BLOCK = 500  # images that are matched together; the time grows with its cube


@estimators.register("cot")
def cot(seen: Seen) -> float:
    """Estimate the accuracy by the probabilities of classes that are given by the source's shares.

    Args:
        seen: answers to source and target.
    """
    source, target = (float(each.matched.mean()) for each in (seen.source, seen.target))
    return min(1.0, max(0.0, seen.source_accuracy - source + target))


def match(probabilities: Floats, shares: Floats) -> Floats:
    """Return the probability of the class that each image is given (N,).

    Args:
        probabilities: of the classes (N, C).
        shares: of images that are given each class (C,).
    """
    from scipy.optimize import linear_sum_assignment

    matched = np.empty(len(probabilities))
    blocks = -(-len(probabilities) // BLOCK)
    for first in range(blocks):  # every so many rows: images are often in the order of classes
        block = probabilities[first::blocks]
        places = (np.arange(len(block)) + 0.5) / len(block)
        given = np.searchsorted(shares.cumsum(), places).clip(max=len(shares) - 1)
        rows, columns = linear_sum_assignment(block[:, given], maximize=True)
        matched[first::blocks] = block[rows, given[columns]]
    return matched
