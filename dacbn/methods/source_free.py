"""The interface of source-free methods: a trained network adapts to target images alone."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from dacbn.batch import Output, TargetBatch, domain_ids
from dacbn.methods.method import Objective, Step
from dacbn.models import Network
from dacbn.processes import by_rows
from dacbn.registry import Registry


class WholeTarget(Protocol):
    """All target images, for methods that need more than a batch."""

    @property
    def cluster_id(self) -> int:
        """Id of the domain."""

    def __len__(self) -> int:
        """Return the number of images."""

    def batches(self) -> Iterator[Tensor]:
        """Yield all images, unchanged and in order."""


class SourceFreeMethod(Objective):
    """A way to adapt a trained network without source images and without labels.

    Args:
        network: the network to adapt.
        target: all images of the target.
    """

    target: WholeTarget

    def __init__(self, network: Network, target: WholeTarget) -> None:
        super().__init__(network)
        self.target = target

    def forward(self, batch: TargetBatch, progress: float) -> Step:
        """Compute losses and metrics of a batch.

        Args:
            batch: target images and their positions in the target.
            progress: the share in [0, 1) of the adaptation's steps that are done.
        """
        raise NotImplementedError

    def forward_target(self, images: Tensor) -> Output:
        """Run the network on target images (B, 3, S, S)."""
        ids = domain_ids(len(images), self.target.cluster_id, images.device)
        return by_rows(self.network, images, ids)  # type: ignore[no-any-return]


source_free_methods: Registry[type[SourceFreeMethod]] = Registry(
    "source-free method", "dacbn.methods"
)
