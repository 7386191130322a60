"""Batch-instance normalisation.

Paper: Nam and Kim, "Batch-Instance Normalization for Adaptively Style-Invariant Neural Networks",
NeurIPS 2018, https://arxiv.org/abs/1805.07925.

A blend weight per channel, g in [0, 1], mixes the two: y = g * batch(x) + (1 - g) * instance(x).

Differs from the paper: blend weights are clipped where they are used, not right after each step of
the optimiser, which a layer cannot observe; they have no separate learning rate (to follow the
paper, give the parameters named `gate` one, without weight decay). Where a channel of a sample is a
single value, the layer is BatchNorm.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Fraction, Positive
from dacbn.norms.batch_norm import BatchNorm
from dacbn.norms.channel_map import ChannelMap, NoChannelMapError, standardising
from dacbn.norms.contract import Norm, norms
from dacbn.norms.group_norm import standardise_groups
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.recomputation import copied
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm


@norms.register("batch_instance_norm")
class BatchInstanceNorm(Norm, SeenAsBatchNorm):
    """Mix batch and instance normalisation by a learned blend weight per channel.

    The blend weights start at one, where the layer is BatchNorm.

    Args:
        num_features: channels C.
        eps: added to both variances.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.
    """

    def __init__(
        self, num_features: int, eps: Positive = 1e-5, momentum: Fraction = 0.1, affine: bool = True
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.batch = BatchNorm(num_features, eps, momentum, affine=False)
        self.gate = nn.Parameter(torch.ones(num_features))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L)."""
        by_batch: Tensor = self.batch(x)
        if x.shape[2] == 1:
            return self.affine(by_batch)
        by_instance = standardise_groups(x, self.num_features, self.eps)
        return self.affine(
            torch.lerp(by_instance, by_batch, self._clipped_gate().to(x.dtype)[:, None])
        )

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map of the batch part, if no instance part is blended in."""
        if bool((self.gate < 1).any()):
            raise NoChannelMapError("blends in moments of each sample")
        return standardising(*self.batch.running_moments(), Affine(self.weight, self.bias))

    def _clipped_gate(self) -> Tensor:
        """Return the gates within [0, 1], copied: later ones may be clipped before a backward."""
        if not self.training:
            return self.gate.clone().clamp(0, 1)
        with torch.no_grad():  # in place: a weight outside [0, 1] would get no gradient
            self.gate.clamp_(0, 1)
        (gate,) = copied((self.gate,))
        return gate

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Load the running statistics; with blend weights of one, the function is preserved."""
        self.batch.load_batch_norm(batch_norm)
