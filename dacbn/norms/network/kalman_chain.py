"""Learned predictions from one Kalman-normalised layer to the next.

The layers form a chain. The posterior mean m and variance v of one layer's input predict those of
the next: A m + offset, with variance A² v + noise², squares elementwise, A of shape (C_next, C).
"""

from typing import Any

import torch
from torch import Tensor, nn

from dacbn.norms.host_value import remember
from dacbn.norms.network.moment_propagation import Moments


class Chain:
    """The posterior moments of the layer that ran last, passed on to the next in a forward pass.

    They exist during a forward pass only, so they are neither copied nor pickled.

    Args:
        length: number of layers in the chain.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._last: tuple[int, Moments] | None = None

    def previous(self, position: int) -> Moments | None:
        """Return the moments of the layer before this position, None if another layer ran last."""
        if self._last is None or self._last[0] != position - 1:
            return None
        return self._last[1]

    def store(self, position: int, moments: Moments) -> None:
        """Keep the moments of the layer at this position for the next layer, if there is one."""
        self._last = (position, moments) if position + 1 < self.length else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Chain, (self.length,)


class LearnedTransition(nn.Module):
    """Predict a layer's moments from the posterior moments of the layer before it in a chain.

    A is 0 at first. The offset and noise are initialised from a trained BatchNorm's statistics, or
    else from mean 0 and the mean square of all channels in the first batch: predictions of the
    wrong scale would shrink or amplify the signal from layer to layer.

    Args:
        chain: the chain, shared by all its layers.
        position: of this layer in the chain, from 0.
        previous: channels of the layer before; 0 for the first, which has an offset and noise only.
        mean: of the layer's input, (C,).
        var: of the layer's input, (C,).
        known: whether `mean` and `var` are those of a trained BatchNorm.
    """

    placed: Tensor

    def __init__(
        self, chain: Chain, position: int, previous: int, mean: Tensor, var: Tensor, known: bool
    ) -> None:
        super().__init__()
        self.chain = chain
        self.position = position
        self.offset = nn.Parameter(mean.clone())
        self.noise = nn.Parameter(var.sqrt())
        self.matrix = nn.Parameter(mean.new_zeros(len(mean), previous)) if previous else None
        self.register_buffer("placed", torch.tensor(int(known), device=mean.device))
        self._host = remember(self, "placed")

    @property
    def uninitialised(self) -> bool:
        """Whether the parameters wait for a first batch."""
        return not self._host.read(self.placed)

    @torch.no_grad()
    def init_from_batch(self, x: Tensor) -> None:
        """Initialise the noise to the scale of the activations x (N, C, L)."""
        self.noise.copy_(x.square().mean().sqrt().expand_as(self.noise))
        self._host.fill_(self.placed, 1)

    def predict(self) -> Moments:
        """Compute the predicted mean (C,) and variance (C,).

        They are the offset and noise alone if the layer before was not the last to run.
        """
        noise = self.noise.square()
        posterior = self.chain.previous(self.position)
        if posterior is None or self.matrix is None:
            return self.offset, noise
        mean, var = (moment.to(self.matrix.dtype) for moment in posterior)
        return self.offset + self.matrix @ mean, noise + self.matrix.square() @ var
