"""The contract of source-free methods, which adapt a trained network to target images alone."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from dacbn.batch import TargetBatch
from dacbn.methods.method import Method, Step
from dacbn.models import Network
from dacbn.registry import Registry


class WholeTarget(Protocol):
    """All target images, for methods that need more than a batch."""

    def __len__(self) -> int:
        """Return the number of images."""

    def batches(self) -> Iterator[Tensor]:
        """Yield all images, unchanged and in order."""


class SourceFreeMethod(Method):
    """Adapts a trained network without the source: it receives no source images or labels.

    Args:
        network: what is adapted.
        target: all images of the target.
    """

    def __init__(self, network: Network, target: WholeTarget) -> None:
        super().__init__(network)
        self.target = target

    def forward(self, batch: TargetBatch, progress: float) -> Step:  # type: ignore[override]
        """Compute the losses of a batch; `progress` in [0, 1] is the share of steps done."""
        raise NotImplementedError


source_free_methods: Registry[type[SourceFreeMethod]] = Registry("source-free method")
