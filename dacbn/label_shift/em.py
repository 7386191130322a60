"""Maximum-likelihood estimation of the target's class shares by EM.

Paper: Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
Probabilities: A Simple Procedure", Neural Computation 2002,
https://doi.org/10.1162/089976602753284446.

E-step: p_t(y|x) is proportional to p_s(y|x) q(y) / p_s(y). M-step: q is the mean of p_t(y|x) over
the target images. p_s(y) is the mean probability of held-out source images, so that without shift
q = p_s is a fixed point.
Differs from the paper: probabilities are calibrated, as proposed by Alexandari, Kundaje and
Shrikumar, ICML 2020, https://arxiv.org/abs/1901.06852; and as many images as there are classes
count as shared like p_s, so that few images move q little.
"""

import numpy as np

from dacbn.label_shift.estimator import Calibrated, Floats, Shift, estimators

MAX_ITERATIONS = 2000
TOLERANCE = 1e-7  # sum of the changes of all shares


@estimators.register("em")
def em(source: Calibrated, target: Floats) -> Shift:
    """Estimate the likeliest shares of the classes given the probabilities of target images.

    Args:
        source: held-out source images.
        target: probabilities of target images (M, C).
    """
    count, num_classes = target.shape
    expected = source.probabilities.mean(0)
    prior = expected
    for _ in range(MAX_ITERATIONS):
        weights = prior / expected
        counts = weights * (target.T @ (1 / (target @ weights)))
        before, prior = prior, (counts + num_classes * expected) / (count + num_classes)
        if np.abs(prior - before).sum() < TOLERANCE:
            break
    return Shift(prior / prior.sum(), prior / expected)
