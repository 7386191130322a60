"""A network that answers a stream without a method: as it is, or with normalisers that follow."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.models import Network
from dacbn.norms import modes_kept
from dacbn.norms.following import following
from dacbn.training.evaluation import average


class Unadapted:
    """Answers by a network in evaluation mode.

    Args:
        network: the network; its buffers change if its normalisers follow the images, and nothing
            else does.
        cluster_ids: ids of the domains whose statistics answer, which are averaged.
        follows: whether normalisers follow the images, by a rule of their own.
    """

    def __init__(self, network: Network, cluster_ids: Sequence[int], follows: bool) -> None:
        self.network = network
        self.cluster_ids = tuple(cluster_ids)
        self.follows = follows

    @torch.no_grad()
    def predict(self, images: Tensor, cluster_ids: Tensor | None = None) -> Output:
        """Compute outputs of images (B, 3, S, S)."""
        follow = following(self.network) if self.follows else nullcontext()
        with modes_kept(self.network), follow:
            self.network.eval()
            outputs = [
                self.network(images, torch.full((len(images),), each, device=images.device))
                for each in self.cluster_ids
            ]
        return average(outputs)

    def state_dict(self) -> dict[str, Any]:
        """Return the network, if it changes."""
        return {"network": self.network.state_dict()} if self.follows else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        if self.follows:
            self.network.load_state_dict(state["network"])
