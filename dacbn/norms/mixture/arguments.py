"""Arguments shared by all implementations of normalisation by a mixture, and rows of their tables.

Shapes: K components, C channels. Where an implementation passes tables from its forward to its
backward pass, the rows below index their first dimension; `cpu_moments.h`,
`joint_moments.h` and `gpu_tiles.py` use the same numbers.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

# Rows of the table (TABLE_ROWS, K, C) that forward fills and backward reads: the gate; the share,
# mean and variance by which the components standardise; mean - gate mean; and the derivative of
# a batch's variance with respect to its mean. The C kernel keeps log prior - log(gate var) / 2 in
# the first row.
TABLE_ROWS = 8
LOG_PRIOR, GATE_MEAN, GATE_VAR, SHARE, MEAN, VAR, OFFSET, DRAG = range(TABLE_ROWS)
# Rows of the gradients (GRADIENT_ROWS, K, C) that backward returns.
GRADIENT_ROWS = 6
D_LOG_PRIOR, D_GATE_MEAN, D_GATE_VAR, D_MEAN, D_VAR, D_SCALE = range(GRADIENT_ROWS)

# A component without data keeps this share, so that data can be assigned to it again.
SMALLEST_PRIOR = 1e-6


def in_type(dtype: torch.dtype, *tables: Tensor | None) -> tuple[Any, ...]:
    """Convert tables to a type; those that are missing stay None."""
    return tuple(None if table is None else table.to(dtype) for table in tables)


class Gate(NamedTuple):
    """The mixture that assigns values to components.

    Attributes:
        log_prior: log shares, (K, C), or (K, 1) where all channels share one assignment.
        mean: (K, C).
        var: (K, C), positive; nothing is added to it.
    """

    log_prior: Tensor
    mean: Tensor
    var: Tensor


class LinearGate(NamedTuple):
    """A linear map whose softmax assigns positions to components.

    Attributes:
        bias: (K, 1).
        weight: (K, C).
    """

    bias: Tensor
    weight: Tensor


class Components(NamedTuple):
    """The components by which values are standardised.

    Attributes:
        mean: (K, C).
        var: (K, C).
        scale: factor of each component's term, (K, C), or (K, 1) like the log prior.
    """

    mean: Tensor
    var: Tensor
    scale: Tensor | None = None


class Affine(NamedTuple):
    """The map that follows the normalisation.

    Attributes:
        weight: factor of each channel, (C,).
        bias: added to each channel, (C,).
    """

    weight: Tensor | None = None
    bias: Tensor | None = None


class Options(NamedTuple):
    """How to normalise.

    Attributes:
        eps: added to the variances of the components.
        from_batch: standardise by the moments of the batch, weighted by responsibility, instead of
            those of the components; needs at least one value. The sums start from a vanishing mass
            of the components' moments, which are constants then.
        shared: the batch is one process's part, and the moments are those of all parts.
    """

    eps: float
    from_batch: bool
    shared: bool = False


class Saved(NamedTuple):
    """The tensors that forward keeps for backward.

    Attributes:
        x: the activations, (N, C, *).
        table: (TABLE_ROWS, K, C).
        scale: of `Components`.
        weight: of `Affine`.
    """

    x: Tensor
    table: Tensor
    scale: Tensor | None
    weight: Tensor | None


def log_of(prior: Tensor) -> Tensor:
    """Compute the logarithm of shares, of which none is taken for zero."""
    return prior.clamp_min(SMALLEST_PRIOR).log()


def gate_of(prior: Tensor, mean: Tensor, var: Tensor, eps: float) -> Gate:
    """Return what assigns values to components of these shares, means and variances."""
    return Gate(log_of(prior), mean, var + eps)
