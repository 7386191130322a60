"""The interface of test-time methods: a network adapts while it predicts, batch by batch."""

import copy
from typing import ClassVar

from torch import Tensor, nn

from dacbn.batch import Output
from dacbn.models import Network
from dacbn.norms import set_statistics
from dacbn.norms.contract import is_normaliser
from dacbn.registry import Registry


class OnlineMethod:
    """A way to adapt while predicting: each batch is predicted first and then learned from.

    It works on a copy of the network. Normalisers are in training mode, so that those with batch
    statistics use them; everything else is in evaluation mode. Only the affine parameters of
    normalisers are learned.

    Args:
        network: a trained network, which is not changed.

    Raises:
        ValueError: the normalisers have no affine parameters.

    Attributes:
        network: the copy.
        parameters: the affine parameters of its normalisers.
    """

    batch_size: ClassVar[int] = 200

    def __init__(self, network: Network) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.parameters: list[nn.Parameter] = affine_parameters(self.network)
        if not self.parameters:
            raise ValueError(
                "test-time adaptation learns the affine parameters of normalisers, and this "
                "network has none: predict without adapting"
            )
        set_statistics(self.network, "follow")  # frozen ones would not see the batch
        for layer in self.network.modules():
            if is_normaliser(layer):
                layer.train()
        for parameter in self.parameters:
            parameter.requires_grad_(True)

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs of images (B, 3, S, S), without gradient, then learn from the images."""
        raise NotImplementedError


def affine_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Find the scale and shift of every normaliser, each once."""
    layers = [layer for layer in network.modules() if is_normaliser(layer)]
    found = [getattr(layer, name, None) for layer in layers for name in ("weight", "bias")]
    return list(dict.fromkeys(value for value in found if isinstance(value, nn.Parameter)))


test_time_methods: Registry[type[OnlineMethod]] = Registry("test-time method")
