"""What is looked at: a network, and samples of the domains that pass through it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dacbn.datasets import Images


@dataclass(frozen=True, eq=False)
class Sample:
    """Images of one domain.

    Args:
        images: N images.
        cluster_id: the population they are taken for (source 0, target 1).
        labels: int64 (N,) on the CPU, or None where there are none.
    """

    images: Images
    cluster_id: int
    labels: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the images to look at it with.

    Args:
        name: what figures call it.
        network: called as network(images, cluster_ids), with float images in [0, 1].
        samples: by domain, "source" first.
        classes: class names, in the order of the labels.
    """

    name: str
    network: nn.Module
    samples: dict[str, Sample]
    classes: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device
