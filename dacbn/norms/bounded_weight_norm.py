"""Weight normalisation that keeps the length of all filters constant.

Paper: Hoffer, Banner, Golan and Soudry, "Norm matters: efficient and accurate normalization schemes
in deep networks", NeurIPS 2018, https://arxiv.org/abs/1803.01814.

    w[i] = rho * v[i] / |v[i]|,    rho the mean length of the filters at the start.

Differs from the paper: none in w; the paper's later code also scales v back to length rho at every
step, which keeps the size of its steps, whereas v grows here, unless weight decay holds it.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.norms.contract import weights


@weights.register("bounded_weight_norm")
class BoundedWeightNorm(nn.Module):
    """Give all output filters of a weight the mean length that they had at the start.

    Args:
        weight: of a convolution or linear layer, (out, in, *), or (out, in); output filters come
            first, as they do not in a transposed convolution.
    """

    length: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("length", weight.detach().flatten(1).norm(dim=1).mean())

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with filters of equal length."""
        return (self.length * F.normalize(weight.flatten(1), dim=1)).reshape(weight.shape)
