"""Random numbers that are a function of values: each value draws the same one wherever it stands.

Controls need chance that tells nothing of the data, and yet an answer that is the same for the same
image, in any order and any batch. No generator is involved, so that a training with a control
draws the same numbers as the one that it is compared with.
"""

import torch
from torch import Tensor

# Two odd multipliers of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
# OOPSLA 2014, whose function this is; as signed numbers.
MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def draw(values: Tensor, bound: int, over: tuple[int, ...] = ()) -> Tensor:
    """Draw whole numbers in [0, bound), nearly uniform, by the bits of values.

    Args:
        values: float32 or float64.
        bound: what the numbers stay under.
        over: dimensions whose values draw one number together, kept with size 1.

    Returns:
        int64, shaped like `values` but for `over`.
    """
    bits = values.view(torch.int64 if values.dtype == torch.float64 else torch.int32).long()
    if over:  # sums of whole numbers are the same in any order
        bits = _scramble(bits).sum(over, keepdim=True)
    return (_scramble(bits) >> 16).remainder(bound)


def _scramble(bits: Tensor) -> Tensor:
    bits = (bits ^ (bits >> 30)) * MULTIPLIERS[0]
    bits = (bits ^ (bits >> 27)) * MULTIPLIERS[1]
    return bits ^ (bits >> 31)
