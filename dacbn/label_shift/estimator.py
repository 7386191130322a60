"""What estimators of label shift share: their inputs, their result and their registry.

Under label shift, the shares of the classes p(y) differ between source and target, and what images
of a class look like, p(x|y), does not. Then p_t(y|x) is proportional to p_s(y|x) w(y), with the
weights w(y) = p_t(y) / p_s(y).
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dacbn.registry import Registry

Floats: TypeAlias = NDArray[np.float64]


class HeldOut(NamedTuple):
    """What a network says of source images that it was not trained on, on the CPU.

    Attributes:
        logits: float32 (N, num_classes).
        labels: their classes, int64 (N,).
    """

    logits: Tensor
    labels: Tensor


class Calibrated(NamedTuple):
    """Calibrated probabilities of the same source images, with their labels.

    Attributes:
        probabilities: (N, C).
        labels: (N,).
    """

    probabilities: Floats
    labels: NDArray[np.int64]


class Shift(NamedTuple):
    """An estimated label shift.

    Attributes:
        prior: share of each class in the target (C,); sums to 1.
        weights: by which the probabilities p_s(y|x) of each class are multiplied (C,).
    """

    prior: Floats
    weights: Floats


Estimator: TypeAlias = Callable[..., Shift]  # of Calibrated, target probabilities (M, C), options

estimators: Registry[Estimator] = Registry("label-shift estimator", "dacbn.label_shift")
