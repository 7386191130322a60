"""How many operations mixtures per channel take, for counters such as torch's FlopCounterMode.

Counted are the additions, products and elementary functions of the formulas in `moments`, for each
value and component. The kernels need fewer.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from dacbn.norms.mixture import operators as operators  # registers what is counted

# log density 5, softmax 3, standardising by each component and mixing 4
NORMALISE = 12
# share 1, mean 3, variance 4
MOMENTS = 8
AFFINE = 2  # for each value


def count_operations(
    x: Sequence[int], log_prior: Sequence[int], from_batch: bool = False, affine: bool = True
) -> int:
    """Count the operations of a forward pass.

    Args:
        x: shape of the activations, (N, C, *).
        log_prior: shape (K, C) of a table of the mixture.
        from_batch: whether the batch's moments standardise, as in training.
        affine: whether an affine map follows.
    """
    each = NORMALISE + (MOMENTS if from_batch else 0)
    return prod(x) * (log_prior[0] * each + (AFFINE if affine else 0))


@register_flop_formula(torch.ops.dacbn.normalise_by_mixture)
def _forward(x: Sequence[int], log_prior: Sequence[int], *rest: Any, **_: Any) -> int:
    weight, from_batch = rest[5], rest[8]
    return count_operations(x, log_prior, from_batch, weight is not None)


@register_flop_formula(torch.ops.dacbn.normalise_by_mixture_backward)
def _backward(
    gradient: Sequence[int], x: Sequence[int], table: Sequence[int], *rest: Any, **_: Any
) -> int:
    weight, from_batch = rest[1], rest[3]
    return 2 * count_operations(x, table[1:], from_batch, weight is not None)
