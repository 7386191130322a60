"""The input of an analysis: a network, and image samples of its domains."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dacbn.datasets import Images


@dataclass(frozen=True, eq=False)
class Sample:
    """Images of one domain.

    Args:
        images: N images.
        cluster_id: the id that cluster-aware layers get for them (source 0, target 1).
        labels: int64 (N,) on the CPU, or None.
        names: of the images, such as their files; by default their numbers.
    """

    images: Images
    cluster_id: int
    labels: Tensor | None = None
    names: tuple[str, ...] = ()

    def name(self, row: int) -> str:
        """Return the name of an image."""
        return self.names[row] if self.names else f"image {row}"


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and images to analyse it with.

    Args:
        name: the name of the network in figures.
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
        """The device of the network."""
        return next(self.network.parameters()).device
