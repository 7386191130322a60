"""Unmixing test-time normalisation statistics (UnMix-TNS).

Paper: Tomar, Vray, Thiran and Bozorgtabar, "Un-Mixing Test-Time Normalization Statistics:
Combatting Label Temporal Correlation", ICLR 2024, https://arxiv.org/abs/2401.08328.

K components start about the source's mean and variance, with noise e of variance one:

    mean_k = mean_s + sqrt(K / (2 (K - 1))) sd_s e,    var_k = var_s / 2,

so that together they have the source's. A sample with moments mean_i, var_i belongs to them by
p_k = softmax_k(cos(mean_i, mean_k) / 0.07). It is normalised by the uniform average of components
that it has moved towards itself, m_k = (1 - p_k) mean_k + p_k mean_i and
v_k = (1 - p_k) var_k + p_k var_i:

    mean = avg_k m_k,    var = avg_k v_k + avg_k m_k^2 - (avg_k m_k)^2.

The stream then moves them by mean_k <- mean_k + l avg_i p_k (mean_i - mean_k), and the variances
alike, where l = 1 - (1 - rate)^(N / 64) for N samples.

Differs from the paper: none in the equations. Gradients flow through p_k, which the authors' code
takes for constants. Components are stored as offsets in units of the source's standard deviation,
which the rules leave the same. One position, which has no moments, is normalised by the source's
statistics, as in that code. An image that is not finite moves nothing.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.batch_norm import BatchNorm
from dacbn.norms.contract import Mixture, Norm, norms
from dacbn.norms.following import (
    FollowsStream,
    noise,
    refuse_recomputation,
    standardise_samples,
    weight_of,
)
from dacbn.norms.mixture.by_sample import sample_moments
from dacbn.norms.mixture.kernels.stream import step_in_c
from dacbn.norms.mixture.routes import traced_as_one
from dacbn.norms.running_statistics import HIDDEN_STATISTICS

TEMPERATURE = 0.07
LARGEST = 1e30  # variance; one that a batch has made infinite has no unit


@norms.register("unmix_norm")
class UnMixNorm(BatchNorm, FollowsStream):
    """Normalise each sample by components that it moves, and that follow a stream.

    In training it is BatchNorm. In evaluation, the components move in `dacbn.norms.following` only.

    Args:
        num_features: channels C.
        num_clusters: components K.
        eps: added to the variance.
        momentum: weight of the newest batch in the source's statistics, in training.
        affine: learn `weight` and `bias`.
        rate: weight of 64 images of a stream.
    """

    evaluates: ClassVar[str] = "normalises each sample by components that it moves"
    statistics = HIDDEN_STATISTICS
    offset: Tensor
    spread: Tensor

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 16,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        rate: Fraction = 0.1,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.num_clusters = num_clusters
        self.rate = rate
        offset, spread = start(num_clusters, num_features)
        self.register_buffer("offset", offset)
        self.register_buffer("spread", spread)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *)."""
        if isinstance(x, fx.Proxy):
            return traced_as_one(self, x)
        one = x.ndim == 2 or x.shape[2:].numel() <= 1
        if one or (self.training and not self.follows):
            return super().forward(x)
        y = self.step(x) if self.follows else None
        return Norm.forward(self, x) if y is None else y

    def uses_batch(self, x: Tensor) -> bool:
        """Whether x is normalised by its own moments."""
        return super().uses_batch(x) and not self.follows

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L), and move the components if they follow."""
        known_mean, unit, offset, spread = self.tables(x.dtype)
        own_mean, own_var = sample_moments(x)
        p = belonging(own_mean, known_mean + unit * offset)
        own_offset, own_spread = (own_mean - known_mean) / unit, own_var / unit.square()
        # not elsewhere: a graph of one image may be exported for many
        average = unmixed_one if self.follows and len(x) == 1 else unmixed
        mean, var = average(own_offset, own_spread, p, offset, spread)
        if self.follows and len(x):
            refuse_recomputation()
            self.follow(own_offset, own_spread, p)
        mean, var = known_mean + unit * mean, unit.square() * var + self.eps
        return standardise_samples(x, mean, var, (self.weight, self.bias))

    def step(self, x: Tensor) -> Tensor | None:
        """Follow x (N, C, *) in compiled code; None if there is none for it."""
        self.check_input(x)
        known = *self.running_moments(), self.weight, self.bias
        numbers = self.eps, weight_of(len(x), self.rate)
        return step_in_c("stream_unmix", x, (self.offset, self.spread), known, numbers)

    def tables(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the source's mean and the unit (C,), and offsets and variances (K, C) in it."""
        tables = *self.running_moments(), self.offset, self.spread
        copy = torch.is_grad_enabled()  # a backward pass comes after they have moved
        known_mean, known_var, offset, spread = (each.to(dtype, copy=copy) for each in tables)
        return known_mean, known_var.clamp(self.eps, LARGEST).sqrt(), offset, spread

    @torch.no_grad()
    def follow(self, own_offset: Tensor, own_spread: Tensor, p: Tensor) -> None:
        """Move the components towards samples (N, C), by how far these belong to them (N, K)."""
        finite = (own_offset + own_spread).isfinite().all(1, keepdim=True)
        p = p.where(finite, 0) * (weight_of(len(p), self.rate) / len(p))
        for held, own in ((self.offset, own_offset), (self.spread, own_spread)):
            own = own.where(finite, 0)
            if len(p) == 1:
                held.lerp_(own.to(held), p.T.to(held))
                continue
            held.add_((p.T @ own).to(held) - p.sum(0)[:, None].to(held) * held)

    def mixture(self) -> Mixture:
        """Return the components, of equal shares."""
        known_mean, unit, offset, spread = self.tables(torch.float64)
        prior = unit.new_full((self.num_clusters, 1), 1 / self.num_clusters)
        mean, var = known_mean + unit * offset, unit.square() * spread + self.eps
        return Mixture(prior, mean, var, "sample")

    def assignments(self, x: Tensor) -> Tensor:
        """Compute how far samples x (N, C, L) belong to each component: (K, N, 1, 1)."""
        p = belonging(x.mean(2), self.mixture().mean)
        return p.T[:, :, None, None]

    def reset_running_stats(self) -> None:
        """Restore the initial statistics and components."""
        super().reset_running_stats()
        for held, first in zip(
            (self.offset, self.spread), start(self.num_clusters, self.num_features), strict=True
        ):
            held.copy_(first)

    evaluation_map = Norm.evaluation_map  # none, unlike BatchNorm

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, num_clusters={self.num_clusters}, rate={self.rate}"


def start(num_clusters: int, num_features: int) -> tuple[Tensor, Tensor]:
    """Return offsets and variances (K, C) of components, in units of the source's."""
    size = num_clusters, num_features
    if num_clusters == 1:
        return torch.zeros(size), torch.ones(size)
    away = (num_clusters / (2 * (num_clusters - 1))) ** 0.5
    return away * noise(*size), torch.full(size, 0.5)


def belonging(samples: Tensor, components: Tensor) -> Tensor:
    """Compute how far samples (N, C) belong to components (K, C): (N, K), summing to one."""
    cosine = F.normalize(samples, dim=1) @ F.normalize(components.to(samples), dim=1).T
    return (cosine / TEMPERATURE).softmax(1)


def unmixed(
    own_mean: Tensor, own_var: Tensor, p: Tensor, mean: Tensor, var: Tensor
) -> tuple[Tensor, Tensor]:
    """Average the components that each sample has moved: moments (N, C).

    Sums over the components are products of matrices: nothing has K times N times C values.

    Args:
        own_mean: of each sample's channels, (N, C).
        own_var: (N, C).
        p: how far samples belong to components, (N, K).
        mean: of the components, (K, C).
        var: (K, C).
    """
    count = len(mean)
    square, p2 = mean.square(), p.square()
    average = (mean.sum(0) - p @ mean + own_mean) / count
    within = (var.sum(0) - p @ var + own_var) / count
    # of m_k^2, with m_k = mean_k + p_k (own_mean - mean_k)
    squares = (
        square.sum(0)
        + (p2 - 2 * p) @ square
        + 2 * own_mean * ((p - p2) @ mean)
        + own_mean.square() * p2.sum(1, keepdim=True)
    ) / count
    return average, within + (squares - average.square()).clamp_min(0)


def unmixed_one(
    own_mean: Tensor, own_var: Tensor, p: Tensor, mean: Tensor, var: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `unmixed` of a single sample, N = 1, in a quarter of the operations."""
    moved, spread = mean.lerp(own_mean, p.T), var.lerp(own_var, p.T)
    between, average = torch.var_mean(moved, 0, correction=0, keepdim=True)
    return average, spread.mean(0, keepdim=True) + between
