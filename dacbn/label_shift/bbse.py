"""Black-box shift estimation (BBSE).

Paper: Lipton, Wang and Smola, "Detecting and Correcting for Label Shift with Black Box Predictors",
ICML 2018, https://arxiv.org/abs/1802.03916.

With C_ij the share of held-out source images of class j that are predicted as i, and m_i the share
of target images that are predicted as i, label shift means C w = m. `soft` takes mean probabilities
in place of shares of predictions.
Differs from the paper: w minimises |C w - m|^2 + r |q - p|^2 subject to w >= 0, where the paper
inverts C and then sets negative weights to 0. p are the shares in the source, each class counted
one image more, and q = p w those in the target. Weights that the predictions do not determine, as
of a class that is never predicted, are therefore near 1 (regularised as in Azizzadenesheli et al.,
"Regularized Learning for Domain Adaptation under Label Shifts", ICLR 2019). With M target and N
source images, r = num_classes (1/N + 1/M): the mean variance of an entry of C w - m, at most
(1/N + 1/M) / num_classes, over 1 / num_classes^2, the variance of shares without other knowledge.
"""

import numpy as np

from dacbn.label_shift.estimator import Calibrated, Floats, Shift, estimators


@estimators.register("bbse")
def bbse(source: Calibrated, target: Floats, soft: bool = False) -> Shift:
    """Estimate the shares that explain how often each class is predicted, by the confusion matrix.

    Args:
        source: held-out source images.
        target: probabilities of target images (M, C).
        soft: average probabilities, instead of counting predictions.
    """
    from scipy.optimize import nnls

    num_classes = target.shape[1]
    known = np.eye(num_classes)[source.labels]
    guessed, guesses = source.probabilities, target
    if not soft:
        guessed, guesses = (np.eye(num_classes)[each.argmax(1)] for each in (guessed, guesses))
    confusion, predicted = guessed.T @ known / len(known), guesses.mean(0)
    shares = (known.sum(0) + 1) / (len(known) + num_classes)
    pull = np.sqrt(num_classes * (1 / len(known) + 1 / len(target))) * shares
    weights, _ = nnls(np.concatenate([confusion, np.diag(pull)]), np.append(predicted, pull))
    prior = weights * shares
    return Shift(prior / prior.sum(), weights)
