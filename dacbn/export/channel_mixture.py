"""A mixture per channel in evaluation, by few operators that every runtime has.

With u = (x - m) / s for the widest component of a channel, the log odds of component k against it
are a quadratic in u, a u^2 + b u + c, and its term in the output is a line in u. Of two components
the posterior is therefore a sigmoid. All maps per channel are BatchNorms, which runtimes fuse with
the convolution before them. Of more components, the maps after u are of one spatial dimension:
onnxruntime would compute them as convolutions, at twice the cost.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.norms import UCBNorm


class ChannelMixture(nn.Module):
    """What a `UCBNorm` with a mixture per channel computes in evaluation.

    Args:
        layer: is copied from, and not changed.
    """

    zero: Tensor
    one: Tensor
    scale: Tensor
    shift: Tensor
    a: Tensor
    b: Tensor
    c: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, layer: UCBNorm) -> None:
        super().__init__()
        tables = _coefficients(layer)
        self.num_clusters = len(tables["slope"])
        zero = torch.zeros(layer.num_features)
        self.register_buffer("zero", zero)
        self.register_buffer("one", zero + 1)
        for name, table in tables.items():
            self.register_buffer(name, table.float())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *)."""
        u = self._line(x, self.scale, self.shift)
        if self.num_clusters == 2 or x.ndim < 4:
            return self._mix(u)
        return self._mix(u.reshape(-1, x.shape[1], x.shape[2:].numel())).reshape(-1, *x.shape[1:])

    def _mix(self, u: Tensor) -> Tensor:
        first = self._line(u, self.slope[0], self.offset[0])
        others = range(1, self.num_clusters)
        odds = [
            self._line(self._line(u, self.a[k], self.b[k]) * u, self.one, self.c[k]) for k in others
        ]
        apart = [
            self._line(u, self.slope[k] - self.slope[0], self.offset[k] - self.offset[0])
            for k in others
        ]
        if self.num_clusters == 2:
            return odds[0].sigmoid() * apart[0] + first
        largest = odds[0]  # far below 0 it makes the total infinite, and the others nothing
        for each in odds[1:]:
            largest = torch.maximum(largest, each)
        shares = [(each - largest).exp() for each in odds]
        total = torch.exp(-largest)
        for share in shares:
            total = total + share
        terms = [share * term for share, term in zip(shares, apart, strict=True)]
        return sum(terms[1:], terms[0]) / total + first

    def _line(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.batch_norm(x, self.zero, self.one, weight, bias, eps=0.0)


@torch.no_grad()
def _coefficients(layer: UCBNorm) -> dict[str, Tensor]:
    """Compute the maps of a layer, in float64: (C,) into u, and (K, C) from u."""
    gate, statistics, eps = layer.gate.as_gate(0.0), layer.statistics, layer.eps
    log_prior, at, spread = (table.double() for table in gate)
    mean, var = statistics.mean.double(), statistics.var.double() + eps
    order = spread.argsort(0, descending=True)  # so that no quadratic has a minimum
    log_prior, at, spread, mean, var = (
        table.expand_as(order).gather(0, order)
        for table in (log_prior, at, spread + eps, mean, var)
    )
    width = spread[0].sqrt()
    ratio, away = width * spread.rsqrt(), (at[0] - at) * spread.rsqrt()
    constant = log_prior - 0.5 * away.square() - 0.5 * spread.log()
    inverse = var.rsqrt() * ((-0.5 * log_prior).exp() if layer.prior_scale else 1.0)
    ones = torch.ones_like(width)
    weight = ones if layer.weight is None else layer.weight.double()
    bias = 0 * ones if layer.bias is None else layer.bias.double()
    return {
        "scale": 1 / width,
        "shift": -at[0] / width,
        "a": 0.5 * (1 - ratio.square()),
        "b": -ratio * away,
        "c": constant - constant[:1],
        "slope": width * inverse * weight,
        "offset": (at[0] - mean) * inverse * weight + bias,
    }
