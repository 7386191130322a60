"""Learned predictions from one Kalman-normalised layer to the next.

The layers form a chain, and the belief about one, its posterior mean m and variance v, predicts the
next: A m + offset, with variance A² v + noise², squares elementwise, A of shape (C_next, C).
"""

from typing import Any

import torch
from torch import Tensor, nn

from dacbn.norms.host_value import HostValue
from dacbn.norms.network.moment_propagation import Moments


class Chain:
    """The belief about the layer that ran last, kept from one layer to the next of a forward pass.

    Args:
        length: layers of the chain.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._last: tuple[int, Moments] | None = None

    def before(self, turn: int) -> Moments | None:
        """Get the belief about the layer before that of this turn, if it was the last to run."""
        if self._last is None or self._last[0] != turn - 1:
            return None
        return self._last[1]

    def put(self, turn: int, belief: Moments) -> None:
        """Keep a belief for the next layer; that about the last layer is of no use."""
        self._last = (turn, belief) if turn + 1 < self.length else None

    def __reduce__(self) -> tuple[Any, ...]:  # copies and files go without what is on its way
        return Chain, (self.length,)


class LearnedTransition(nn.Module):
    """Predict a layer's moments from the belief about the layer before it in a chain.

    It starts with A = 0: from a trained BatchNorm's statistics, or else from mean 0 and the mean
    square of all channels in the first batch, because a prediction of the wrong scale, layer after
    layer, would drown or blow up the signal.

    Args:
        chain: shared by all its layers.
        turn: of this layer, from 0.
        previous: channels of the layer before; 0 for the first, which has an offset and noise only.
        mean: of the layer's input, where known, (C,).
        var: of the layer's input, where known, (C,).
        known: whether they are.
    """

    placed: Tensor

    def __init__(
        self, chain: Chain, turn: int, previous: int, mean: Tensor, var: Tensor, known: bool
    ) -> None:
        super().__init__()
        self.chain = chain
        self.turn = turn
        self.offset = nn.Parameter(mean.clone())
        self.noise = nn.Parameter(var.sqrt())
        self.matrix = nn.Parameter(mean.new_zeros(len(mean), previous)) if previous else None
        self.register_buffer("placed", torch.tensor(known, device=mean.device))
        self._host = HostValue()

    @property
    def uninitialised(self) -> bool:
        """Whether the parameters wait for a first batch."""
        return not self._host.read(self.placed)

    @torch.no_grad()
    def init_from_batch(self, x: Tensor) -> None:
        """Initialise the noise to the scale of the activations x (N, C, L)."""
        self.noise.copy_(x.square().mean().sqrt().expand_as(self.noise))
        self._host.fill_(self.placed, True)

    def predict(self) -> Moments:
        """Compute the prediction (C,), (C,); without the matrix for a layer run out of turn."""
        noise = self.noise.square()
        belief = self.chain.before(self.turn)
        if belief is None or self.matrix is None:
            return self.offset, noise
        mean, var = (moment.to(self.matrix.dtype) for moment in belief)
        return self.offset + self.matrix @ mean, noise + self.matrix.square() @ var
