"""State of a Gaussian mixture: running estimates (online EM) or learned parameters.

Both have `log_prior` (K, C or 1), `mean` (K, C) and `var` (K, C), and both initialise their
components on the first batch, because the activations are unknown before.
"""

from math import isfinite
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.norms.contract import Mixture
from dacbn.norms.host_value import has_values, remember
from dacbn.norms.mixture.arguments import (
    SMALLEST_PRIOR,
    Affine,
    Components,
    Gate,
    Options,
    gate_of,
    log_of,
)
from dacbn.norms.mixture.by_sample import sample_log_joint, sample_moments
from dacbn.norms.mixture.kernels.running import follow_batch
from dacbn.norms.mixture.moments import Assign, responsibilities
from dacbn.norms.mixture.normalise import normalise_by_mixture
from dacbn.norms.mixture.placement import init_components
from dacbn.norms.mixture.routes import has_no_memory, is_recorded
from dacbn.norms.recomputation import PastTables, is_recomputation
from dacbn.processes import gather_whole
from dacbn.processes.share import running

# Added to the variances that assign a first batch: that of a constant channel is zero.
SMALLEST_VAR = 1e-5
# Of learned components, how far the first batch moves equal means apart.
PARTING = 0.1
# The count of batches while all components are equal, on inherited statistics.
INHERITED = -1


class MixtureState(nn.Module):
    """The components of a mixture, and whether they are still to be initialised.

    Args:
        num_clusters: components K.
        assign: see `moments.log_joint`.
        waits: whether a first batch has to initialise them.
    """

    mean: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_clusters: int, assign: Assign, waits: bool) -> None:
        super().__init__()
        self.num_clusters = num_clusters
        self.assign: Assign = assign
        self._waits = waits
        self._count = remember(self, "num_batches_tracked")

    def as_gate(self, eps: float) -> Gate:
        """Return what assigns values to the components, with eps added to the variances."""
        raise NotImplementedError

    @property
    def uninitialised(self) -> bool:
        """Whether the components wait for a first batch.

        All are equal then. This is checked too, because averages of weights may leave the integer
        count at 0: torch's AveragedModel with use_buffers=True rounds it down at each update.
        The count is corrected then, for compiled code, which cannot look.
        """
        if not self._waits or self._count.read(self.num_batches_tracked) > 0:
            return False
        if has_values(self.mean) and bool((self.mean != self.mean[:1]).any()):
            self._count.fill_(self.num_batches_tracked, 1)
            return False
        return True

    def init_from_batch(self, x: Tensor) -> None:
        """Place the components on the activations x (N, C, L), or part those that inherited.

        Processes that share a batch do so on all of it.
        """
        x = gather_whole(x.detach())
        with running(None):
            self._start_on(x)

    def _start_on(self, x: Tensor) -> None:
        mean, var = init_components(x, self.num_clusters, self.assign)
        if self._count.read(self.num_batches_tracked) != INHERITED:
            return self.set_components(mean, var)
        gate = Gate(self.as_gate(0.0).log_prior.detach(), mean, var + SMALLEST_VAR)
        options = Options(SMALLEST_VAR, from_batch=True)
        components = Components(mean, var.contiguous())
        found = normalise_by_mixture(x, gate, components, Affine(), options, self.assign)
        share, mean, var = found[1:]
        self.part(share, mean, var, x.numel() // x.shape[1])

    def part(self, share: Tensor, mean: Tensor, var: Tensor, num_values: int) -> None:
        """Move equal components apart, a little towards those of a batch, as `update` gets them."""
        raise NotImplementedError

    def inherit(self, mean: Tensor, var: Tensor) -> None:
        """Start all components on a trained mean and variance, (C,) each.

        They normalise as one, until the first batch in training parts them: it is assigned as that
        of a fresh layer is, but its components only move the inherited statistics.
        """
        self.set_components(mean, var)
        if self._waits:
            self._count.fill_(self.num_batches_tracked, INHERITED)

    def set_components(self, mean: Tensor, var: Tensor) -> None:
        """Set means and variances, (K, C) each or broadcast to it, with equal shares."""
        raise NotImplementedError

    def describe(self, eps: float) -> Mixture:
        """Describe the mixture to analyses, with a layer's eps added to its variances."""
        log_prior, mean, var = (values.detach().double() for values in self.as_gate(0.0))
        return Mixture(log_prior.exp(), mean, var + eps, self.assign)

    def posterior(self, x: Tensor, eps: float) -> Tensor:
        """Compute p(k | x) of activations x (N, C, L): (K, N, C, L), or 1 where shared."""
        gate = self.as_gate(eps)
        if self.assign == "sample" and x.numel() > 0:  # by moments: nothing is K times as large
            return sample_log_joint(*sample_moments(x), gate).softmax(0)[:, :, None, None]
        return responsibilities(x, *gate, self.assign)


class RunningMixture(MixtureState):
    """A mixture estimated by online EM: moving averages of each component's statistics.

    A component is updated in proportion to its share of the data, so one without data in a batch
    does not change. With one component this is BatchNorm's moving average.

    Args:
        num_clusters: components K.
        num_features: channels C.
        momentum: weight of the newest batch.
        assign: see `moments.log_joint`.
        init_from_first: let the layer initialise several components on its first batch; otherwise
            all start at mean 0 and variance 1, as a single one always does.
    """

    prior: Tensor
    var: Tensor

    def __init__(
        self,
        num_clusters: int,
        num_features: int,
        momentum: float,
        assign: Assign,
        init_from_first: bool = True,
    ) -> None:
        super().__init__(num_clusters, assign, waits=init_from_first and num_clusters > 1)
        self.momentum = momentum
        prior_features = num_features if assign == "channel" else 1
        self.register_buffer("prior", torch.full((num_clusters, prior_features), 1 / num_clusters))
        self.register_buffer("mean", torch.zeros(num_clusters, num_features))
        self.register_buffer("var", torch.ones(num_clusters, num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.past = PastTables()

    @property
    def log_prior(self) -> Tensor:
        """The log shares, (K, C) or (K, 1)."""
        return log_of(self.prior)

    def as_gate(self, eps: float) -> Gate:
        """Return what assigns values to the components, with eps added to the variances."""
        return gate_of(self.prior, self.mean, self.var, eps)

    def read_by(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the shares, means and variances that the training batch x (N, C, *) reads.

        When x is recomputed for a backward pass, they are those that the forward pass read.
        """
        prior, mean, var = self.past.read(x, self.prior, self.mean, self.var)
        return prior, mean, var

    def inherit(self, mean: Tensor, var: Tensor) -> None:
        """Start all components on a trained mean and variance, (C,) each."""
        self.prior.fill_(1 / self.num_clusters)  # exact in float64 too
        super().inherit(mean, var)

    def part(self, share: Tensor, mean: Tensor, var: Tensor, num_values: int) -> None:
        """Move equal components apart, as `update` does."""
        self._count.fill_(self.num_batches_tracked, 1)
        self.update(share, mean, var, num_values)

    @torch.no_grad()
    def set_components(self, mean: Tensor, var: Tensor) -> None:
        """Set means and variances, (K, C) each or broadcast to it, with equal shares."""
        self.mean.copy_(mean)
        self.var.copy_(var)
        self._count.fill_(self.num_batches_tracked, 1)

    def reset_running_stats(self) -> None:
        """Drop all components; the next batch initialises new ones."""
        self.prior.fill_(1 / self.num_clusters)
        self.mean.zero_()
        self.var.fill_(1)
        self._count.fill_(self.num_batches_tracked, 0)

    @torch.no_grad()
    def update(
        self, share: Tensor, mean: Tensor, var: Tensor, num_values: int, weight: float | None = None
    ) -> None:
        """Move towards a batch's moments; not where they are infinite, nor in a recomputation.

        Args:
            share: each component's share of the batch, (K, C) or (K, 1).
            mean: (K, C).
            var: biased, (K, C).
            num_values: values per channel in the batch, on all processes; more than one.
            weight: of the batch; None takes the momentum of training, whose batches are counted.
        """
        if is_recomputation():
            return
        pace = self.momentum if weight is None else weight
        running, found = (self.prior, self.mean, self.var), (share, mean, var)
        fused = not has_no_memory(var) and follow_batch(running, found, num_values, pace)
        if not fused:
            self._follow(*found, num_values, pace)
        if weight is None:
            self.count_batch()

    def count_batch(self) -> None:
        """Count a batch; not those before the one that initialises."""
        if not self.uninitialised:
            self._count.add_(self.num_batches_tracked, 1)

    def _follow(self, share: Tensor, mean: Tensor, var: Tensor, count: int, weight: float) -> None:
        var = var * (count / (count - 1))
        # a CPU looks first, which is faster; to ask a GPU would make it wait
        if not (var.is_cpu and not is_recorded(var) and isfinite(var.sum().item())):
            finite = var < torch.inf  # of what is infinite or NaN, the variance is one of the two
            shares = finite if share.shape == var.shape else share < torch.inf
            mean, var = mean.where(finite, self.mean), var.where(finite, self.var)
            share = share.where(shares, self.prior)
        share, mean, var = (value.to(self.prior) for value in (share, mean, var))
        self.prior.lerp_(share, weight)
        step = weight * share / self.prior.clamp_min(SMALLEST_PRIOR)
        self.mean.lerp_(mean, step)
        self.var.lerp_(var, step)


class LearnedMixture(MixtureState):
    """A mixture whose parameters are learned by gradient descent on the task's loss.

    Shares are a softmax of `logits`, variances a softplus of `raw_var` plus a floor.

    Args:
        num_clusters: components K.
        num_features: channels C.
        assign: see `moments.log_joint`.
    """

    FLOOR: ClassVar[float] = 1e-5

    def __init__(self, num_clusters: int, num_features: int, assign: Assign) -> None:
        super().__init__(num_clusters, assign, waits=True)
        prior_features = num_features if assign == "channel" else 1
        self.logits = nn.Parameter(torch.zeros(num_clusters, prior_features))
        self.mean = nn.Parameter(torch.zeros(num_clusters, num_features))
        self.raw_var = nn.Parameter(torch.full((num_clusters, num_features), 0.5413))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    @property
    def log_prior(self) -> Tensor:
        """The log shares, (K, C) or (K, 1)."""
        return self.logits.log_softmax(0)

    @property
    def var(self) -> Tensor:
        """The variances, (K, C)."""
        return F.softplus(self.raw_var) + self.FLOOR

    def as_gate(self, eps: float) -> Gate:
        """Return what assigns values to the components, with eps added to the variances."""
        return Gate(self.log_prior, self.mean, self.var + eps)

    @torch.no_grad()
    def set_components(self, mean: Tensor, var: Tensor) -> None:
        """Set means and variances, (K, C) each or broadcast to it, with equal shares."""
        self.mean.copy_(mean)
        target = (var - self.FLOOR).clamp_min(self.FLOOR)
        # softplus is the identity to float precision where expm1 would overflow
        self.raw_var.copy_(torch.where(target > 20, target, target.clamp_max(20).expm1().log()))
        self._count.fill_(self.num_batches_tracked, 1)

    @torch.no_grad()
    def part(self, share: Tensor, mean: Tensor, var: Tensor, num_values: int) -> None:
        """Move equal means apart, by a tenth of the way between those of the batch."""
        self.mean.add_(PARTING * (mean - (share * mean).sum(0)))
        self._count.fill_(self.num_batches_tracked, 1)
