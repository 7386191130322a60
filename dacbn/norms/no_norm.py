"""No normalisation: the control for all the others.

Paper: Zhang, Dauphin and Ma, "Fixup Initialization: Residual Learning Without Normalization",
ICLR 2019, https://arxiv.org/abs/1901.09321, trains residual networks with such scales and biases.
Differs from the paper: the initialisation of the other layers is unchanged, so a deep network
should start from trained weights.

A trained BatchNorm in evaluation is an affine map, y = w (x - m) / s + b with s = sqrt(v + eps),
and is loaded as one: weight w / s, bias b - m w / s.
"""

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.channel_map import ChannelMap, scaling
from dacbn.norms.contract import Norm, norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine


@norms.register("no_norm")
class NoNorm(Norm):
    """Scale and shift each channel by learned numbers, without normalising.

    Args:
        num_features: channels C.
        eps: unused; every normaliser has one.
        affine: learn `weight` and `bias`; without them the layer does nothing and cannot replace a
            trained BatchNorm.
    """

    def normalise(self, x: Tensor) -> Tensor:
        """Scale and shift x."""
        return self.affine(x)

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the layer's own map."""
        return scaling(Affine(self.weight, self.bias), self.eps, self.num_features)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Fold a trained BatchNorm's statistics into weight and bias, which preserves its function.

        Weight and bias have been copied from it already.
        """
        trained = trained_statistics(batch_norm)
        if self.weight is None or self.bias is None or trained is None:
            return
        self.weight.mul_((trained[1] + batch_norm.eps).rsqrt())
        self.bias.sub_(trained[0] * self.weight)
