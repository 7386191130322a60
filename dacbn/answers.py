"""The answers to images, also to those that cannot be read."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dacbn.datasets import EveryImage, ImageFile

NO_LABEL = int(np.iinfo(np.int64).min)  # of an image that cannot be read; is no index of a list


class Answer(NamedTuple):
    """The answer to one image.

    Attributes:
        file: its file; None for an image that came without one.
        label: name of its likeliest class; None if it cannot be read.
        probabilities: of all classes (num_classes,); None if it cannot be read.
        reason: why it cannot be read; None if it can.
    """

    file: ImageFile | None
    label: str | None
    probabilities: NDArray[np.float32] | None
    reason: str | None

    @property
    def confidence(self) -> float | None:
        """Probability of the likeliest class."""
        return None if self.probabilities is None else float(self.probabilities.max())


def in_place(rows: Tensor, every: EveryImage) -> NDArray[np.float32]:
    """Return rows of the readable images in the places of these among all; others are NaN."""
    placed = torch.full((len(every.files), rows.shape[1]), torch.nan)
    placed[every.readable] = rows
    result: NDArray[np.float32] = placed.numpy()
    return result
