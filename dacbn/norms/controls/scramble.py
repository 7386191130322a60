"""Hash values to pseudo-random integers: equal values give equal numbers.

Controls need random numbers that are independent of the content of an image, yet the same whenever
the image occurs. No generator is involved, so that a training with a control draws the same random
numbers as the training it is compared with.
"""

import torch
from torch import Tensor

# Two odd multipliers of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
# OOPSLA 2014, whose hash function this is; as signed numbers.
MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def hash_to_int(values: Tensor, bound: int, over: tuple[int, ...] = ()) -> Tensor:
    """Hash values to integers in [0, bound), nearly uniform.

    Args:
        values: float32 or float64.
        bound: exclusive upper bound.
        over: dimensions whose values share one number, kept with size 1.

    Returns:
        int64, of the shape of `values` but for `over`.

    Raises:
        RuntimeError: torch.jit.trace records, which would end in an internal error.
    """
    if torch._C._get_tracing_state():
        raise RuntimeError("a trace cannot read the bits of numbers, which random groups come from")
    bits = values.view(torch.int64 if values.dtype == torch.float64 else torch.int32).long()
    if over:  # integer sums do not depend on the order
        bits = _scramble(bits).sum(over, keepdim=True)
    return (_scramble(bits) >> 16).remainder(bound)


def _scramble(bits: Tensor) -> Tensor:
    bits = (bits ^ (bits >> 30)) * MULTIPLIERS[0]
    bits = (bits ^ (bits >> 27)) * MULTIPLIERS[1]
    return bits ^ (bits >> 31)
