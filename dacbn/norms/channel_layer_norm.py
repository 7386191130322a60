"""Layer normalisation of each position over its channels.

Paper: Ba, Kiros and Hinton, "Layer Normalization", 2016, https://arxiv.org/abs/1607.06450; at every
position of an image, as in Liu et al., "A ConvNet for the 2020s", CVPR 2022,
https://arxiv.org/abs/2201.03545.
Differs from the paper: none.

Two layers have this name. This one standardises the channels of each position separately, as
ConvNeXt (timm's LayerNorm2d) and transformers do. `layer_norm` standardises a sample over its
channels and positions together. They agree where there is one position.
"""

from torch import Tensor

from dacbn.norms.contract import Norm, norms


@norms.register("channel_layer_norm")
class ChannelLayerNorm(Norm):
    """Standardise each position of a sample over its channels.

    Args:
        num_features: channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias`.
    """

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the moments over C."""
        # not by torch's kernel, which requires channels-last memory
        offset = x - x.mean(1, keepdim=True)
        var = offset.square().mean(1, keepdim=True)
        return self.affine(offset * (var + self.eps).rsqrt())
