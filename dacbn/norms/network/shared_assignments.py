"""Assignments of images to clusters that the normalisers of a network share.

The normaliser that runs first finds them, and the others use them until the forward pass ends.
"""

from typing import Any

from torch import Tensor, nn

from dacbn.norms.mixture.routes import is_exported
from dacbn.norms.network.trace import trace


class SharedAssignments:
    """Assignments shared by all layers of a network during one forward pass.

    Hooks of the network open and close it, so that nothing is left after a forward pass, even one
    that fails.
    """

    def __init__(self) -> None:
        self.found: Tensor | None = None
        self._is_open = False

    def open(self, *_: Any) -> None:
        """Begin a forward pass."""
        self.found, self._is_open = None, True

    def close(self, *_: Any) -> None:
        """End a forward pass."""
        self.found, self._is_open = None, False

    def keep(self, assignments: Tensor) -> Tensor:
        """Keep assignments (N, K) for the later layers, during a forward pass of the network."""
        if self._is_open:
            self.found = assignments
        return assignments

    def read(self, num_samples: int) -> Tensor:
        """Return the assignments (N, K) that the first layer found.

        Raises:
            RuntimeError: it has not run in this forward pass.
            ValueError: it was given another number of samples.
        """
        if self.found is None:
            raise RuntimeError(
                "the first normaliser of the network assigns the images, and it has not run: "
                "call the model that was converted, not its parts"
            )
        if not is_exported() and self.found.shape[0] != num_samples:
            raise ValueError(
                f"{len(self.found)} images are assigned to clusters, but this layer gets "
                f"{num_samples} samples: leave it out by `sites`"
            )
        return self.found


def share_assignments(model: nn.Module, layers: dict[str, Any]) -> str:
    """Let layers share what the first of them finds, in the order in which they run.

    Args:
        model: their network; a forward pass of it is what they share assignments for.
        layers: by their names in `model`; each gets the attribute `shared`.

    Returns:
        the name of the first. If the network cannot be traced, it is the first registered.
    """
    graph = trace(model)
    order = [] if graph is None else [str(node.target) for node in graph.nodes]
    shared = SharedAssignments()
    for layer in layers.values():
        layer.shared = shared
    model.register_forward_pre_hook(shared.open)
    model.register_forward_hook(shared.close, always_call=True)
    return next(name for name in [*order, *layers] if name in layers)


def check_shareable(update: str, assign: str) -> None:
    """Raise ValueError where layers cannot share a gate, with the reason."""
    if assign != "sample":
        raise ValueError(
            f"gate='shared' of ucb_norm needs assign='sample', got {assign!r}: layers have images "
            "in common, but neither channels nor positions"
        )
    if update != "em":
        raise ValueError(
            f"gate='shared' of ucb_norm needs update='em', got {update!r}: a learned mixture is "
            "that of its own layer's activations"
        )
