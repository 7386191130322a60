"""Mode normalisation.

Paper: Deecke, Murray and Bilen, "Mode Normalization", ICLR 2019, https://arxiv.org/abs/1810.05466.

A gate in each layer, a linear map, assigns samples softly to modes; each sample is standardised by
the moments of every mode, and the results are averaged by its assignment:

    g(x) = softmax(A mean_positions(x) + a),    y = sum_k g_k(x) (x - m_k) / sqrt(v_k + eps).

The moments of a mode are those of the batch, weighted by g_k and pooled over samples and positions.
Gradients flow through all of it.

Differs from the paper: a mode's running moments move in proportion to its share of the batch, so
that a mode without samples keeps them; the variance is averaged instead of the mean square.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.channel_map import ChannelMap, mixing
from dacbn.norms.contract import Mixture, Norm, norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine, Components, LinearGate, in_type
from dacbn.norms.mixture.by_sample import mix_samples, pool_samples, sample_moments
from dacbn.norms.mixture.joint_steps import follow, kernel_that_follows
from dacbn.norms.mixture.kernels.joint import JointOptions, Kernel
from dacbn.norms.mixture.state import RunningMixture
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm

# Standard deviation of the initial logits, for pooled activations of size one: small, so that modes
# start nearly equal, but not zero, or they would stay equal.
GATE_STD = 0.1


@norms.register("mode_norm")
class ModeNorm(Norm, SeenAsBatchNorm):
    """Normalise by the moments of modes, to which a learned gate assigns the samples.

    Args:
        num_features: channels C.
        num_clusters: modes K; with one, the layer is BatchNorm.
        eps: added to every variance.
        momentum: weight of the newest batch in the running moments.
        affine: learn `weight` and `bias`, shared by the modes.

    Raises:
        ValueError: an option has no such value.
    """

    assigns_together = False  # for other layers too, or as another layer does

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 2,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.num_clusters = num_clusters
        self.running = RunningMixture(num_clusters, num_features, momentum, "sample", False)
        self.gate: nn.Linear | None = NearlyEqualGate(num_features, num_clusters)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L), then scale and shift it."""
        if self.training and x.shape[2] == 1 < x.shape[0]:
            kernel = kernel_that_follows(self.running, x)
            if kernel is not None:
                return self._normalise_features(kernel, x)
        samples = sample_moments(x)
        weights = self.gate_samples(samples[0]).T
        num_values = values_per_channel(x)
        mean, var = in_type(x.dtype, self.running.mean, self.running.var)
        if self.training and num_values > 1:
            _, mean, var = in_type(x.dtype, *self.running.read_by(x))
            share, mean, var = pool_samples(*samples, x.shape[2], weights, mean, var)
            self.running.update(share, mean, var, num_values)
        components = Components(mean, var + self.eps)
        affine = Affine(*in_type(x.dtype, self.weight, self.bias))
        return mix_samples(x, weights, components, affine)

    def _normalise_features(self, kernel: Kernel, x: Tensor) -> Tensor:
        """Normalise x (N, C, 1) in training, as `normalise` does, in one call."""
        running, read = self.running, self.running.read_by(x)
        options = JointOptions(self.eps, from_batch=True)
        affine = Affine(*in_type(x.dtype, self.weight, self.bias))
        if self.gate is None or self.assigns_together:
            given = self.gate_samples(x.flatten(1)).T
            return follow(kernel, running, read, x, None, affine, options, given=given)
        gate = LinearGate(*in_type(x.dtype, self.gate.bias[:, None], self.gate.weight))
        return follow(kernel, running, read, x, gate, affine, options)

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map, if all components are equal."""
        return mixing(self.running, Affine(self.weight, self.bias), "sample")

    def mixture(self) -> Mixture:
        """Return the moments of the modes, by which evaluation normalises."""
        return self.running.describe(self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Compute to what degree samples of x (N, C, L) belong to each mode: (K, N, 1, 1)."""
        return self.gate_samples(x.mean(2)).T[:, :, None, None]

    def gate_samples(self, pooled: Tensor) -> Tensor:
        """Compute to what degree samples of means (N, C) belong to each mode: (N, K)."""
        assert self.gate is not None
        weight, bias = self.gate.weight.to(pooled.dtype), self.gate.bias.to(pooled.dtype)
        return F.linear(pooled, weight, bias).softmax(1)

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start every mode on a trained BatchNorm's statistics."""
        trained = trained_statistics(batch_norm)
        if trained is not None:
            self.running.set_components(*trained)

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, num_clusters={self.num_clusters}"


class NearlyEqualGate(nn.Linear):
    """A linear map that starts with small sinusoidal weights, and draws no random numbers.

    The other weights of a network are then the same as without gates.

    Args:
        in_features: channels C.
        out_features: modes K.
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Restore the first weights."""
        device = self.weight.device
        rows = torch.arange(1, self.out_features + 1, device=device)
        columns = torch.arange(1, self.in_features + 1, device=device)
        start = GATE_STD * (2 / self.in_features) ** 0.5 * torch.outer(rows, columns).cos()
        self.weight.copy_(start)
        self.bias.zero_()
