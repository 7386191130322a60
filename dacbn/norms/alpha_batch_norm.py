"""Alpha batch normalisation: a blend of a batch's statistics and those of the source.

Paper: Schneider et al., "Improving robustness against common corruptions by covariate shift
adaptation", NeurIPS 2020, https://arxiv.org/abs/2006.16971; You, Li and Zhao, "Test-time Batch
Statistics Calibration for Covariate Shift", 2021, https://arxiv.org/abs/2110.04065; with
`mixed_alpha`, Dong et al., "Domain Diversity-Aware Test-Time Adaptation" (DATTA), ICME 2025,
https://arxiv.org/abs/2408.08056.

    mean = (1 - alpha) mean_s + alpha mean_b,    var = (1 - alpha) var_s + alpha var_b.

With `mixed_alpha`, a batch whose images do not shift in one direction is blended by that instead:
a batch of several domains has no statistics that fit any of them. The angle of a sample, whose
channels have the mean m, is that of its shift to the shift of the batch,

    angle = arccos(cos(m - mean_s, mean_b - mean_s)),

and a batch is diverse whose angles have a mean above `diversity`.

Differs from the papers: var_b is biased, as BatchNorm's in training. DATTA takes angles at the
sample between the two means, which vanish where domains shift to opposite sides. It finds its
threshold in the angles of past batches, and decides in the first layer for all; here it is an
option, each layer decides by itself, and no batch depends on those before it.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from dacbn.limits import Fraction, Positive
from dacbn.norms.batch_moments import batch_moments, values_per_channel
from dacbn.norms.batch_norm import BatchNorm
from dacbn.norms.contract import Norm, norms
from dacbn.norms.following import standardise_samples
from dacbn.norms.mixture.routes import is_exported, traced_as_one
from dacbn.norms.running_statistics import HIDDEN_STATISTICS


@norms.register("alpha_batch_norm")
class AlphaBatchNorm(BatchNorm):
    """Standardise by a blend of the batch and the running statistics in evaluation.

    In training it is BatchNorm.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics, in training.
        affine: learn `weight` and `bias`.
        alpha: weight of the batch.
        mixed_alpha: weight of a diverse batch; None does not ask. DATTA's are 0.4 and 0.15.
        diversity: mean angle, in radians, above which a batch is diverse.
    """

    always_by_batch: ClassVar[bool] = True
    evaluates: ClassVar[str] = "normalises by the batch in evaluation too"
    statistics = HIDDEN_STATISTICS

    def __init__(
        self,
        num_features: int,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        alpha: Fraction = 0.1,
        mixed_alpha: Fraction | None = None,
        diversity: Positive = 0.8,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.alpha = alpha
        self.mixed_alpha = mixed_alpha
        self.diversity = diversity

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *); evaluation changes no statistics."""
        if isinstance(x, fx.Proxy):
            return traced_as_one(self, x)
        # a graph for batches of any size decides in `normalise`
        one_value = not is_exported() and values_per_channel(x) <= 1
        as_batch_norm = self.training or one_value
        return super().forward(x) if as_batch_norm else Norm.forward(self, x)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L), then scale and shift it."""
        known_mean, known_var = (each.to(x.dtype, copy=True) for each in self.running_moments())
        mean, var = batch_moments(x)
        alpha = self.weight_of_batch(x, known_mean, mean)
        if is_exported():
            several = torch.ones_like(x[:, :1]).sum() > 1
            alpha = alpha.where(several, torch.zeros_like(alpha))
        # sums, because an infinite variance, of a batch that has overflowed, has no difference
        mean, var = (
            (1 - alpha) * known + alpha * own
            for known, own in ((known_mean, mean), (known_var, var))
        )
        return standardise_samples(x, mean, var + self.eps, (self.weight, self.bias))

    @torch.no_grad()
    def weight_of_batch(self, x: Tensor, known_mean: Tensor, mean: Tensor) -> Tensor:
        """Return alpha, a scalar, of a batch x (N, C, L) with this mean (C,)."""
        if self.mixed_alpha is None:
            return x.new_full((), self.alpha)  # new_tensor copies from the host, and waits
        diverse = diversity_of(x.mean(2), known_mean, mean) > self.diversity
        return torch.where(diverse, self.mixed_alpha, self.alpha).to(x.dtype)

    evaluation_map = Norm.evaluation_map  # none, unlike BatchNorm

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, alpha={self.alpha}, mixed_alpha={self.mixed_alpha}"


def diversity_of(samples: Tensor, known_mean: Tensor, mean: Tensor) -> Tensor:
    """Compute the mean angle of samples (N, C) to their mean (C,), seen from the known one."""
    cosine = F.cosine_similarity(samples - known_mean, (mean - known_mean)[None], dim=1)
    return cosine.clamp(-1, 1).arccos().mean()
