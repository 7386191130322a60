"""What estimators of accuracy share: what they see, and their registry.

They see no labels of the target: there is no field for them.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dacbn.registry import Registry

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]


class Answers(NamedTuple):
    """What a network answers to N images.

    Attributes:
        classes: the likeliest class of each (N,).
        confidence: its probability (N,).
        certainty: minus the entropy of all probabilities, in nats (N,).
        matched: probability of the class that it is given if classes have the source's shares (N,).
    """

    classes: Rows
    confidence: Floats
    certainty: Floats
    matched: Floats

    def take(self, rows: Rows) -> "Answers":
        """Return the answers to some of the images."""
        numbers = (self.confidence[rows], self.certainty[rows], self.matched[rows])
        return Answers(self.classes[rows], *numbers)


class Seen(NamedTuple):
    """All that an estimator sees.

    Attributes:
        source: answers to held-out source images.
        target: answers to target images.
        labels: of the held-out source images (N,).
        num_classes: how many classes there are.
        second: classes that a second training answers to the same source and target images, (N,)
            and (M,); None without one.
    """

    source: Answers
    target: Answers
    labels: Rows
    num_classes: int
    second: tuple[Rows, Rows] | None = None

    @property
    def source_accuracy(self) -> float:
        """The share of held-out source images that are answered rightly."""
        return float((self.source.classes == self.labels).mean())

    def take(self, source: Rows, target: Rows) -> "Seen":
        """Return what is seen of some of the images."""
        second = self.second and (self.second[0][source], self.second[1][target])
        first = self.source.take(source), self.target.take(target)
        return Seen(*first, self.labels[source], self.num_classes, second)


Estimator: TypeAlias = Callable[..., float]  # of Seen and options; the share of right answers

estimators: Registry[Estimator] = Registry("estimator of accuracy", "dacbn.estimates")


def needs_second(estimator: Estimator) -> Estimator:
    """Mark an estimator that compares with a second training."""
    estimator.needs = ("a second training",)  # type: ignore[attr-defined]  # shown by dacbn list
    return estimator
