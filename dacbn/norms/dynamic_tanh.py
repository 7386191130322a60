"""Dynamic tanh (DyT) and its successor by the error function (Derf): no statistics at all.

Paper: Zhu, Chen, He, LeCun and Liu, "Transformers without Normalization", CVPR 2025,
https://arxiv.org/abs/2503.10622; with `function="erf"`, Chen, Lu, Zhu, Sun and Liu, "Stronger
Normalization-Free Transformers", 2025, https://arxiv.org/abs/2512.10938.

    tanh: y = weight * tanh(alpha * x) + bias
    erf:  y = weight * erf(alpha * x + shift) + bias

alpha and shift are one learned number each. Every value is mapped by itself, so nothing depends on
a batch, a sample or a domain: a control for layers that have statistics. It takes the place of a
LayerNorm, as published, or of a BatchNorm.

Differs from the paper: none in the equations. The affine map of a replaced layer is kept, but not
its function: train after a conversion.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dacbn.limits import Positive
from dacbn.norms.contract import Norm, norms

Function = Literal["tanh", "erf"]


@norms.register("dynamic_tanh")
class DynamicTanh(Norm):
    """Squash each value by a tanh or an error function of learned slope, without statistics.

    Args:
        num_features: channels C.
        function: "tanh" or "erf".
        alpha: slope at the start.
        eps: unused; every normaliser has one.
        affine: learn `weight` and `bias`.

    Raises:
        ValueError: an option has another type or is out of its range.
    """

    evaluates: ClassVar[str] = "bends each value by a curve"

    def __init__(
        self,
        num_features: int,
        function: Function = "tanh",
        alpha: Positive = 0.5,
        eps: Positive = 1e-5,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.function = function
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))
        self.shift = nn.Parameter(torch.tensor(0.0)) if function == "erf" else None

    def normalise(self, x: Tensor) -> Tensor:
        """Squash x of shape (N, C, L), and scale and shift its channels."""
        sloped = self.alpha.to(x.dtype) * x
        if self.shift is None:
            return self.affine(sloped.tanh())
        return self.affine(torch.erf(sloped + self.shift.to(x.dtype)))

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, function={self.function}"
