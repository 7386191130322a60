"""Instance normalisation.

Paper: Ulyanov, Vedaldi and Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
Stylization", 2016, https://arxiv.org/abs/1607.08022.
Differs from the paper: where a channel of a sample is a single value (2-D input, 1x1 maps), whose
standardised form would always be zero, the value is left unchanged. Weight and bias are
learned by default, unlike torch's layer, to be comparable with the other normalisers.
"""

from torch import Tensor

from dacbn.norms.contract import Norm, norms
from dacbn.norms.group_norm import standardise_groups


@norms.register("instance_norm")
class InstanceNorm(Norm):
    """Standardise each channel of each sample over its positions.

    Args:
        num_features: channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias`.
    """

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the moments over L; with L = 1, x is unchanged."""
        return self.affine(standardise_groups(x, self.num_features, self.eps))
