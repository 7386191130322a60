"""Layer normalisation over all of a sample.

Paper: Ba, Kiros and Hinton, "Layer Normalization", 2016, https://arxiv.org/abs/1607.06450; of
images, as in Wu and He, "Group Normalization", ECCV 2018, https://arxiv.org/abs/1803.08494.
Differs from the paper: weight and bias are per channel, not per value, so that images may have any
size.

Two layers have this name. This one standardises a sample over its channels and positions together
(group normalisation with one group, timm's GroupNorm1); at the input of a network it standardises
each image. `channel_layer_norm` standardises each position over its channels, as ConvNeXt does.
"""

from torch import Tensor

from dacbn.norms.contract import Norm, norms
from dacbn.norms.group_norm import standardise_groups


@norms.register("layer_norm")
class LayerNorm(Norm):
    """Standardise each sample over all its channels and positions.

    Args:
        num_features: channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias`.
    """

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the moments of each sample."""
        return self.affine(standardise_groups(x, 1, self.eps))
