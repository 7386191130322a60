"""Temperature scaling.

Paper: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
https://arxiv.org/abs/1706.04599; before corrections for label shift by Alexandari, Kundaje and
Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift
Adaptation", ICML 2020, https://arxiv.org/abs/1901.06852.

Probabilities are softmax(z / T), for logits z (N, C), with the temperature T that minimises the
cross-entropy on held-out images.
Differs from the paper: a label counts as one image in N + 1 of all classes, as in Platt's scaling,
so that T stays above 0 where no image is misclassified. There are no biases of classes as in the
second paper: biases fitted to the source do not fit another domain, and lose more there than they
win on the source.
"""

import math

from torch.nn.functional import cross_entropy

from dacbn.label_shift.estimator import HeldOut

SMALLEST, LARGEST = 1e-3, 1e3


def fit_temperature(held_out: HeldOut) -> float:
    """Fit the temperature to held-out images; the problem is convex in 1 / T."""
    from scipy.optimize import minimize_scalar

    logits, labels = held_out.logits.double(), held_out.labels
    smoothing = 1 / (len(labels) + 1)

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return cross_entropy(scaled, labels, label_smoothing=smoothing).item()

    bounds = (math.log(SMALLEST), math.log(LARGEST))
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
