"""Group normalisation.

Paper: Wu and He, "Group Normalization", ECCV 2018, https://arxiv.org/abs/1803.08494.
Differs from the paper: widths that the groups do not divide use the nearest number that does, since
networks with widths such as 24 or 40 have to be converted too. A group of a single value, whose
standardised form would always be zero, is left unchanged.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn

from dacbn.limits import Count, Positive
from dacbn.norms.contract import Norm, norms


@norms.register("group_norm")
class GroupNorm(Norm):
    """Standardise each sample separately, in groups of neighbouring channels.

    Args:
        num_features: channels C.
        num_groups: groups G of C / G channels each. If G does not divide C, the nearest number that
            does, with at least two channels a group, is used; a printed layer and the report of a
            conversion show it.
        eps: added to the variance.
        affine: learn `weight` and `bias`.
    """

    def __init__(
        self, num_features: int, num_groups: Count = 32, eps: Positive = 1e-5, affine: bool = True
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.requested_groups = num_groups
        self.num_groups = fitting_groups(num_features, num_groups)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the moments over a group's channels and positions."""
        return self.affine(standardise_groups(x, self.num_groups, self.eps))

    @classmethod
    def after_conversion(
        cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None
    ) -> list[str]:
        """Report the widths that use another number of groups than requested."""
        other = {
            layer.num_features: layer.num_groups
            for layer in layers.values()
            if layer.num_groups != layer.requested_groups
        }
        texts = [f"{width} channels in {groups}" for width, groups in sorted(other.items())]
        return [f"groups that fit: {', '.join(texts)}"] if texts else []

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def standardise_groups(x: Tensor, num_groups: int, eps: float) -> Tensor:
    """Standardise x of shape (N, C, L) over the values of each group of a sample.

    A group of a single value is left unchanged.
    """
    if x.shape[1] * x.shape[2] == num_groups:
        return x
    # unlike the function in torch.nn.functional, this one accepts all small batches
    return torch.group_norm(x, num_groups, eps=eps)


def fitting_groups(num_features: int, num_groups: int) -> int:
    """Choose `num_groups` if it divides the channels, else the nearest number that does.

    Nearest as a ratio, and with at least two channels a group.
    """
    if num_features % num_groups == 0:
        return num_groups
    fitting = [g for g in range(1, num_features // 2 + 1) if num_features % g == 0] or [1]
    return min(fitting, key=lambda g: abs(math.log(g / num_groups)))
