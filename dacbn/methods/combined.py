"""Sums of methods, such as "cdan + mcc"."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dacbn.batch import Output
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register_sum
class Combined(Method):
    """Several methods on the same outputs; their losses are added.

    Args:
        network: the network to train.
        parts: methods by name, built on that network.

    Raises:
        ValueError: a method defines its own forward pass.
    """

    def __init__(self, network: Network, parts: dict[str, Method]) -> None:
        super().__init__(network)
        for name, part in parts.items():
            if type(part).forward is not Method.forward:
                raise ValueError(
                    f"{name} defines its own forward pass and cannot be combined with other methods"
                )
            del part.network  # a module would be saved once for each of its names
        self.parts = nn.ModuleDict(parts)

    def weigh_source(self, target: Output, source_labels: Tensor) -> Tensor | None:
        """Return the product of the weights of all methods that have any."""
        found = [part.weigh_source(target, source_labels) for part in self.parts.values()]  # type: ignore[operator]
        weights = [each for each in found if each is not None]
        return torch.stack(weights).prod(0) if weights else None

    def transfer_domains(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
    ) -> Step:
        """Compute the losses and metrics of all methods, without weights of the source images."""
        return self.transfer_weighted(sources, targets, source_labels, progress, None)

    def transfer_weighted(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
        source_weights: Tensor | None,
    ) -> Step:
        """Compute the losses and metrics of all methods.

        Raises:
            ValueError: two methods have a loss of the same name.
        """
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            assert isinstance(part, Method)
            step = part.transfer_weighted(sources, targets, source_labels, progress, source_weights)
            if twice := losses.keys() & step.losses.keys():
                raise ValueError(f"two methods have a loss named {min(twice)}: one is {name}")
            losses |= step.losses
            metrics |= step.metrics
        return Step(losses, metrics)
