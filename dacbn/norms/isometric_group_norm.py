"""Group normalisation whose number of groups keeps the scale of gradients.

Paper: Kim, Choi, Jang and Kim, "On the Ideal Number of Groups for Isometric Gradient Propagation",
2023, https://arxiv.org/abs/2302.03193.
Differs from the paper: ours follows its principle, that the number of groups sets the scale of
gradients and should be chosen for each layer so that it neither grows nor shrinks. The paper's
closed form was not at hand; the gain in `gradient_gain` and the two choices below were derived
independently, and may choose other numbers than the paper does.
"""

import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from dacbn.limits import Positive
from dacbn.norms.contract import Norm, norms
from dacbn.norms.group_norm import standardise_groups
from dacbn.norms.host_value import remember
from dacbn.norms.network.gradient_gain import (
    gradient_gain,
    measure_gain,
    measure_shares,
    noise_like,
    open_branches,
)

TYPICAL_SHARE = 0.8  # of constant power, reached after about seven ReLU blocks
TYPICAL_EXCESS = 0.15  # of the gain above 1; gives 16 channels a group at the typical share
EXCESSES = (0.0125, 0.025, 0.05, 0.1, 0.15, 0.2, 0.4, 0.8, 1.6)
MIN_CHANNELS = 4  # in a group; with 3, the gain has no bound as the share goes to 1


@norms.register("isometric_group_norm")
class IsometricGroupNorm(Norm):
    """Standardise by groups of channels, as many as keep the scale of gradients.

    A layer built alone uses the most groups whose expected gain of a gradient's squared norm stays
    below 1.15 in a deep ReLU network: those of 16 channels, where they divide the width. A
    conversion measures, on images or noise, how much of each layer's input is constant over
    positions, and chooses the numbers of all layers so that a gradient keeps its norm from the
    last one to the first as nearly as it can. The numbers are saved with the weights.

    Args:
        num_features: channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias`.
        measured: let a conversion measure; otherwise each layer keeps its own choice.
    """

    groups: Tensor

    def __init__(
        self, num_features: int, eps: Positive = 1e-5, affine: bool = True, measured: bool = True
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.measured = measured
        self.register_buffer("groups", torch.tensor(0))
        self._host = remember(self, "groups")
        self.choose_alone()

    @property
    def num_groups(self) -> int:
        """Groups of channels."""
        return self._host.read(self.groups)

    def choose_alone(self) -> None:
        """Use the groups that suit a deep ReLU network."""
        self.set_groups(choose_groups(self.num_features, TYPICAL_SHARE, TYPICAL_EXCESS))

    def set_groups(self, num_groups: int) -> None:
        """Use another number of groups, a divisor of C."""
        self._host.fill_(self.groups, num_groups)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the moments over a group's channels and positions."""
        return self.affine(standardise_groups(x, self.num_groups, self.eps))

    @classmethod
    def after_conversion(
        cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None
    ) -> list[str]:
        """Choose the groups of all layers together, and report them."""
        if not all(layer.measured for layer in layers.values()):
            return _table(layers)
        images = noise_like(torch.empty(2, 3, 64, 64)) if example is None else example
        try:
            gain = _choose_together(model, layers, images)
        except (RuntimeError, ValueError, AssertionError) as error:
            for layer in layers.values():
                layer.choose_alone()
            problem = str(error).partition("\n")[0]
            return [
                f"groups are not measured, because the network cannot be run ({problem}): "
                "convert with images that it accepts as `example`",
                *_table(layers),
            ]
        return [f"gradients grow {gain:.2f}-fold from the last to the first layer", *_table(layers)]

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def choose_groups(num_features: int, share: float, excess: float) -> int:
    """Choose the most groups, of four channels at least, whose gain is at most 1 + excess.

    Args:
        num_features: channels C.
        share: of the power that is constant over positions, in [0, 1).
        excess: limit of the gain minus 1.
    """
    for groups in range(num_features // MIN_CHANNELS, 1, -1):
        fits = num_features % groups == 0
        if fits and gradient_gain(num_features // groups, share) <= 1 + excess:
            return groups
    return 1


def _choose_together(
    model: nn.Module, layers: Mapping[str, IsometricGroupNorm], images: Tensor
) -> float:
    """Set the groups that best keep the norm of the gradient; return its gain."""
    images = images.to(next(iter(layers.values())).groups.device)
    gains = {}
    with open_branches(model, layers):
        shares = measure_shares(model, layers, images)
        first, last = (layers[list(shares)[index]] for index in (0, -1))
        for excess in EXCESSES:
            _set_groups(layers, shares, excess)
            gains[excess] = measure_gain(model, first, last, images)
    best = min(gains, key=lambda excess: abs(math.log(gains[excess])))
    _set_groups(layers, shares, best)
    return gains[best]


def _set_groups(
    layers: Mapping[str, IsometricGroupNorm], shares: dict[str, float], excess: float
) -> None:
    for name, share in shares.items():
        layers[name].set_groups(choose_groups(layers[name].num_features, share, excess))


def _table(layers: Mapping[str, IsometricGroupNorm]) -> list[str]:
    """List each choice in a line, with the layers that have it."""
    chosen: dict[tuple[int, int], list[str]] = {}
    for name, layer in layers.items():
        chosen.setdefault((layer.num_features, layer.num_groups), []).append(name)
    return [
        f"{width} channels in {groups} groups: {names[0]}"
        + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for (width, groups), names in sorted(chosen.items())
    ]
