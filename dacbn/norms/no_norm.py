"""No normalisation: the control for all the others.

Paper: Zhang, Dauphin and Ma, "Fixup Initialization: Residual Learning Without Normalization",
ICLR 2019, https://arxiv.org/abs/1901.09321, trains residual networks with such scales and biases.
Differs from the paper: the initialisation of the other layers is left as it is, so a deep network
should start from trained weights.

A trained BatchNorm in evaluation is an affine map, y = w (x - m) / s + b with s = sqrt(v + eps),
and is taken over as one: weight w / s, bias b - m w / s.
"""

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.contract import Norm, has_statistics, norms


@norms.register("no_norm")
class NoNorm(Norm):
    """Scale and shift each channel by learned numbers, and normalise nothing.

    Args:
        num_features: channels C.
        eps: unused; every normaliser has one.
        affine: learn `weight` and `bias`, without which the layer does nothing and a trained
            BatchNorm cannot be taken over.
    """

    def normalise(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def carry_over(self, batch_norm: _BatchNorm) -> None:
        """Fold a trained BatchNorm's statistics into weight and bias, so that its function stays.

        The affine map is the one copied from it.
        """
        if self.weight is None or self.bias is None or not has_statistics(batch_norm):
            return
        assert batch_norm.running_mean is not None and batch_norm.running_var is not None
        self.weight.mul_((batch_norm.running_var + batch_norm.eps).rsqrt())
        self.bias.sub_(batch_norm.running_mean * self.weight)
