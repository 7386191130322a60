"""The contract of test-time methods, which adapt a network batch by batch while it predicts."""

import copy
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from dacbn.batch import Output
from dacbn.models import Network
from dacbn.norms import Norm
from dacbn.registry import Registry

NORMALISERS = (Norm, _BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)


class OnlineMethod:
    """Adapts a network while it predicts: each batch is predicted, then learned from.

    Works on a copy of the network. Its normalisers are in training mode, so that they use batch
    statistics if they have any; everything else is in evaluation mode. Only the affine parameters
    of normalisers are learned.

    Args:
        network: the trained network; it is not changed.

    Raises:
        ValueError: the network has no affine parameters of normalisers.

    Attributes:
        network: the copy.
        parameters: what is learned.
    """

    batch_size: ClassVar[int] = 200

    def __init__(self, network: Network) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.parameters: list[nn.Parameter] = affine_parameters(self.network)
        if not self.parameters:
            raise ValueError(
                "test-time methods adapt the scales and shifts of normalisers, and this network "
                "has none: predict without such a method"
            )
        for layer in self.network.modules():
            if isinstance(layer, NORMALISERS):
                layer.train()
        for parameter in self.parameters:
            parameter.requires_grad_(True)

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs of images (B, 3, S, S), without gradient, and learn from them."""
        raise NotImplementedError


def affine_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Find the scale and shift of every normaliser, each once."""
    layers = [layer for layer in network.modules() if isinstance(layer, NORMALISERS)]
    found = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    return list(dict.fromkeys(p for p in found if isinstance(p, nn.Parameter)))


test_time_methods: Registry[type[OnlineMethod]] = Registry("test-time method")
