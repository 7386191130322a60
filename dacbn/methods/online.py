"""The interface of test-time methods: a network adapts while it predicts, batch by batch.

Statistics of a few images are poor. In batches of n < 64 images, normalisers therefore use those
stored in training, moved towards those of the batch by n / (n + 16): the rule of Schneider et al.,
"Improving robustness against common corruptions by covariate shift adaptation", NeurIPS 2020,
https://arxiv.org/abs/2006.16971, in which stored statistics count as 16 images. A single image
leaves them as they are: it is predicted as without adaptation. From 64 images on, the smallest
batch of Tent's authors, normalisers use the statistics of the batch alone, as published.
"""

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dacbn.batch import Output
from dacbn.models import Network
from dacbn.models.first_line import first_line
from dacbn.norms import frozen_statistics, set_statistics
from dacbn.norms.contract import is_normaliser
from dacbn.norms.following import FollowsStream, following
from dacbn.norms.running_statistics import moving_statistics
from dacbn.registry import Registry

FEW = 64  # images from which on the statistics of a batch are used alone
STORED = 16  # images that stored statistics count as, in smaller batches


class OnlineMethod:
    """A way to adapt while predicting: each batch is predicted first and then learned from.

    It works on a copy of the network. Normalisers use the statistics of the batch, or in small
    batches a mixture with those stored; everything else is in evaluation mode. Only the affine
    parameters of normalisers are learned.

    Args:
        network: a trained network, which is not changed.

    Raises:
        ValueError: the normalisers have no affine parameters, and the method learns them.

    Attributes:
        network: the copy.
        stored: the statistics of its normalisers, by name.
        parameters: the affine parameters of its normalisers.
        by_batch: whether normalisers use the statistics of the batch, as above; otherwise they are
            in evaluation mode.
        follows: whether there are some that follow the images by a rule of their own.
    """

    batch_size: ClassVar[int] = 200
    learns: ClassVar[bool] = True  # the affine parameters
    remembers: ClassVar[tuple[str, ...]] = ()  # attributes that predictions depend on
    by_batch = True
    follows = False

    def __init__(self, network: Network) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.parameters: list[nn.Parameter] = affine_parameters(self.network)
        if self.learns and not self.parameters:
            raise ValueError(
                "test-time adaptation learns the affine parameters of normalisers, and this "
                "network has none: predict without adapting, or with lame, which learns nothing"
            )
        if any(isinstance(layer, FollowsStream) for layer in self.network.modules()):
            self.by_batch, self.follows = False, True
        set_statistics(self.network, "follow")  # frozen ones would not see the batch
        self.stored = {
            name: value.clone()
            for place, layer in self.network.named_modules()
            if is_normaliser(layer)
            for name, value in layer.named_buffers(place)
        }
        for parameter in self.parameters:
            parameter.requires_grad_(True)

    def predict(self, images: Tensor, cluster_ids: Tensor) -> Output:
        """Compute outputs of images (B, 3, S, S), without gradient, then learn from the images."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next predictions depend on, of which nothing is a copy."""
        names = ("network", *self.remembers)
        return {name: _state_of(getattr(self, name)) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, of which copies are taken.

        Raises:
            ValueError: the state is of another method or network.
        """
        names = ("network", *self.remembers)
        if set(state) != set(names):
            raise ValueError(f"the saved state is not one of {type(self).__name__}")
        for name in names:
            _load(self, name, copy.deepcopy(state[name]))

    def run(
        self,
        images: Tensor,
        cluster_ids: Tensor,
        again: bool = False,
        network: Network | None = None,
    ) -> Output:
        """Run the network on images (B, 3, S, S), with a gradient; `predict` runs it by this.

        Args:
            images: the images.
            cluster_ids: their domain ids.
            again: the images have been run already, and do not move statistics a second time.
            network: run this copy of the network instead.
        """
        network = network or self.network
        kept = frozen_statistics(network) if again else nullcontext()
        with kept, following(network) if self.follows else nullcontext():
            if self.by_batch:
                few = len(images) < FEW
                if few:
                    self._mix_statistics(network, images, cluster_ids)
                for layer in network.modules():
                    if is_normaliser(layer):
                        layer.train(not few)
            output: Output = network(images, cluster_ids)
        return output

    @torch.no_grad()
    def _mix_statistics(self, network: Network, images: Tensor, cluster_ids: Tensor) -> None:
        """Move the stored statistics towards those of a small batch."""
        for name, value in self.stored.items():
            network.get_buffer(name).copy_(value)
        if len(images) < 2:
            return
        with moving_statistics(network) as weigh:
            weigh(len(images) / (len(images) + STORED))
            network(images, cluster_ids)


def affine_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Find the scale and shift of every normaliser, each once."""
    layers = [layer for layer in network.modules() if is_normaliser(layer)]
    found = [getattr(layer, name, None) for layer in layers for name in ("weight", "bias")]
    return list(dict.fromkeys(value for value in found if isinstance(value, nn.Parameter)))


def _state_of(value: Any) -> Any:
    """Return the state of an attribute."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    return value.state_dict() if isinstance(value, nn.Module | Optimizer) else value


def _load(method: OnlineMethod, name: str, state: Any) -> None:
    """Give an attribute a state."""
    value = getattr(method, name)
    if isinstance(value, torch.Generator):
        value.set_state(state.cpu())
    elif isinstance(value, nn.Module | Optimizer):
        try:
            value.load_state_dict(state)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"the saved state is of another network: {first_line(error)}"
            ) from error
    else:
        setattr(method, name, _placed(state, method.network.pixel_mean.device))


def _placed(state: Any, device: torch.device) -> Any:
    """Move the tensors of a state to a device."""
    if isinstance(state, Tensor):
        return state.to(device)
    return [_placed(each, device) for each in state] if isinstance(state, list) else state


test_time_methods: Registry[type[OnlineMethod]] = Registry("test-time method", "dacbn.methods")
