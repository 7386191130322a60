"""Mixture normalisation.

Paper: Kalayeh and Shah, "Training Faster by Separating Modes of Variation in Batch-normalized
Models", TPAMI 2019, https://arxiv.org/abs/1806.02892.

A Gaussian mixture is fitted to the positions of each batch, vectors of C values, by
expectation-maximisation outside of backpropagation. Each position is standardised by every
component's moments, and the results are averaged by its posterior:

    y = sum_k p(k | x) / sqrt(p(k)) * (x - m_k) / sqrt(v_k + eps).

The posterior is a constant to the gradient, which flows through x and the moments. It adds up the
log-likelihoods of all channels, so with many of them it is nearly 0 or 1, and the fit is nearly
k-means.

Differs from the paper: the mixture of a batch starts from a running one, by which evaluation
normalises; the running one starts on positions far from each other. Two steps of
expectation-maximisation per batch, on 4096 of its positions at most, are our choice; the moments
that normalise are those of all positions. A batch with less than 20 positions per component uses
the posterior of the running mixture. Standard deviations of components are at least three per cent
of the batch's.
"""

import math

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.channel_map import ChannelMap, mixing
from dacbn.norms.contract import Mixture, Norm, norms, trained_statistics
from dacbn.norms.mixture.arguments import (
    SMALLEST_PRIOR,
    Affine,
    Components,
    Gate,
    gate_of,
    in_type,
)
from dacbn.norms.mixture.joint_steps import follow, kernel_that_follows
from dacbn.norms.mixture.jointly import assign_jointly, normalise_jointly
from dacbn.norms.mixture.kernels.joint import JointOptions
from dacbn.norms.mixture.moments import responsibilities
from dacbn.norms.mixture.state import RunningMixture
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm
from dacbn.processes import as_one_process, is_shared, row_ranges, total

# Maximum number of positions of a batch that the mixture is fitted to.
FITTING_SAMPLE = 4096
# Minimum number of positions per component to fit a mixture to a batch.
MIN_POSITIONS = 20
# Lower bound of a component's variance, relative to the batch's: dividing by the nearly zero
# variance of a component on few positions would amplify rounding errors and gradients.
SMALLEST_VAR = 1e-3


@norms.register("mixture_norm")
class MixtureNorm(Norm, SeenAsBatchNorm):
    """Normalise by the components of a Gaussian mixture fitted to the positions of each batch.

    Args:
        num_features: channels C.
        num_clusters: components K; with one, the layer is BatchNorm.
        em_steps: iterations of expectation-maximisation per batch.
        eps: added to every variance.
        momentum: weight of the newest batch in the running mixture.
        affine: learn `weight` and `bias`.
        prior_scale: divide each component's term by the square root of its prior, as published,
            which multiplies the standard deviation of the output by about sqrt(K).

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 3,
        em_steps: Count = 2,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        prior_scale: bool = True,
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.num_clusters = num_clusters
        self.em_steps = em_steps
        self.prior_scale = prior_scale
        self.running = RunningMixture(num_clusters, num_features, momentum, "position")

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L), then scale and shift it."""
        running = self.running
        affine = Affine(*in_type(x.dtype, self.weight, self.bias))
        num_values = values_per_channel(x)
        if not (self.training and num_values > 1):
            prior, mean, var = in_type(x.dtype, running.prior, running.mean, running.var)
            scale = prior.clamp_min(SMALLEST_PRIOR).rsqrt() if self.prior_scale else None
            gate, options = gate_of(prior, mean, var, self.eps), JointOptions(self.eps, False, True)
            components = Components(mean, var, scale)
            return normalise_jointly(x, gate, components, affine, options)[0]
        fitted = self.fit(x)
        options = JointOptions(self.eps, True, True, self.prior_scale, SMALLEST_VAR)
        kernel = kernel_that_follows(running, x)
        if kernel is not None:
            options = options._replace(gate_eps=self.eps)
            read = running.prior, running.mean, running.var
            return follow(kernel, running, read, x, Gate(*fitted), affine, options)
        gate = gate_of(*fitted, self.eps)
        components = Components(*in_type(x.dtype, running.mean, running.var))
        y, share, mean, var = normalise_jointly(x, gate, components, affine, options)
        running.update(share, mean, var, num_values)
        return y

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map, if all components are equal."""
        prior = self.running.prior.clamp_min(SMALLEST_PRIOR)
        scale = prior.rsqrt() if self.prior_scale else None
        return mixing(self.running, Affine(self.weight, self.bias), "position", scale)

    def mixture(self) -> Mixture:
        """Return the running mixture, by which evaluation normalises."""
        return self.running.describe(self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Compute p(k | x) of the positions of x (N, C, L) under the running mixture."""
        return self.posterior(x, self.running.prior, self.running.mean, self.running.var)

    @torch.no_grad()
    def posterior(self, x: Tensor, prior: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        """Compute p(k | x) of each position of x (N, C, L) under a mixture: (K, N, 1, L)."""
        return responsibilities(x, *gate_of(prior, mean, var, self.eps), "position")

    @torch.no_grad()
    def fit(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Fit a mixture to positions of x (N, C, L), starting from the running one.

        Returns:
            priors (K, 1), means (K, C) and variances (K, C).
        """
        running, some = self.running, some_positions(x, FITTING_SAMPLE)
        with as_one_process():  # which all have the same positions
            if len(some) >= self.num_clusters and running.uninitialised:
                running.init_from_batch(some)
            prior, mean, var = in_type(x.dtype, *running.read_by(x))
            enough = len(some) >= MIN_POSITIONS * self.num_clusters
            for _ in range(self.em_steps if enough else 0):
                prior, mean, var = assign_jointly(some, prior, mean, var, self.eps)
        return prior, mean, var

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start all components on a trained BatchNorm's statistics, which keeps its function.

        `weight` undoes the factor of the equal priors.
        """
        trained = trained_statistics(batch_norm)
        if trained is None:
            return
        self.running.inherit(*trained)
        if self.prior_scale and self.weight is not None:
            self.weight.div_(self.num_clusters**0.5)

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return (
            f"{super().extra_repr()}, num_clusters={self.num_clusters}, em_steps={self.em_steps}, "
            f"prior_scale={self.prior_scale}"
        )


def some_positions(x: Tensor, at_most: int) -> Tensor:
    """Take evenly spaced positions of x (N, C, L): (M, C, 1); all of them where there are few.

    Those of a batch that processes share are the same on all of them, and have no gradient.
    """
    num_values, length = values_per_channel(x), x.shape[2]
    step = math.ceil(num_values / at_most)
    if step == 1 and not is_shared():
        return x.transpose(1, 2).flatten(0, 1)[..., None]
    while math.gcd(step, length) > 1:  # otherwise all would be in few columns of the map
        step += 1
    taken, places, row = [], [], 0
    for start, stop in row_ranges(x):
        first, last = (-(-edge * length // step) for edge in (start, stop))
        place = torch.arange(first, last, device=x.device)
        chosen = place * step - (start - row) * length
        taken.append(x[chosen // length, :, chosen % length, None])
        places.append(place)
        row += stop - start
    if not is_shared():
        return taken[0]
    some = x.new_zeros(math.ceil(num_values / step), x.shape[1], 1)
    (found,) = total(some.index_copy(0, torch.cat(places), torch.cat(taken)))
    return found
