"""What a source-free method is: it adapts a trained network to target images alone."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from dacbn.batch import TargetBatch
from dacbn.methods.combined import check_options
from dacbn.methods.method import Method, Step
from dacbn.models import Network
from dacbn.registry import Registry, parse_spec


class WholeTarget(Protocol):
    """All target images, for a method that looks at more than a batch."""

    def __len__(self) -> int:
        """Return how many images there are."""

    def batches(self) -> Iterator[Tensor]:
        """Yield all images, unchanged and in order."""


class SourceFreeMethod(Method):
    """A way to adapt a trained network without the source.

    Nothing that it is given holds source images or labels.

    Args:
        network: what is adapted.
        target: all images of the target.
    """

    def __init__(self, network: Network, target: WholeTarget) -> None:
        super().__init__(network)
        self.target = target

    def forward(self, batch: TargetBatch, progress: float) -> Step:  # type: ignore[override]
        """Compute the losses of a batch, at a share `progress` in [0, 1] of the adaptation."""
        raise NotImplementedError


source_free_methods: Registry[type[SourceFreeMethod]] = Registry("source-free method")


def create_source_free_method(spec: str, network: Network, target: WholeTarget) -> SourceFreeMethod:
    """Build a method from its name, with options if wished.

    Raises:
        UnknownNameError: there is no source-free method of that name.
        ValueError: it has no such option.
    """
    name, options = parse_spec(spec)
    method = source_free_methods[name]
    check_options(name, method, options)
    return method(network, target, **options)
