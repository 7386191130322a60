"""The two ways a layer can hold a Gaussian mixture: estimated from the data, or learned.

Both offer `log_prior` (K, C or 1), `mean` (K, C) and `var` (K, C), and both place their components
on the first batch they see, because nothing is known of the activations before.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.norms.contract import Mixture, check_fraction
from dacbn.norms.mixture.by_sample import sample_log_joint, sample_moments
from dacbn.norms.mixture.moments import Assign, evenly_inside_unit, responsibilities
from dacbn.norms.mixture.records import Gate

# A component that no data reach keeps this share, so that it can be found again.
SMALLEST_PRIOR = 1e-6
# How far from the mean, in standard deviations, components start: on a first batch, far enough to
# part soon; around a trained BatchNorm, so close that its function stays.
FRESH_SPREAD, TRAINED_SPREAD = 0.3, 0.1
# Values per channel, at most, that the first placement looks at.
PLACEMENT_SAMPLE = 4096


def place_components(x: Tensor, num_clusters: int, assign: Assign) -> tuple[Tensor, Tensor]:
    """Choose first means and variances for the activations x (N, C, L).

    One mixture per channel starts with all components around the mean of that channel. A mixture
    shared by all channels starts on actual positions (or samples), each the farthest from those
    before it.

    Returns:
        means (K, C) and variances (K, C).
    """
    var = x.var((0, 2), correction=0)
    if assign == "channel" or num_clusters == 1:
        return gather_around(x.mean((0, 2)), var, num_clusters, FRESH_SPREAD)
    rows = x.mean(2) if assign == "sample" else x.transpose(1, 2).flatten(0, 1)
    if len(rows) > PLACEMENT_SAMPLE:
        # evenly, but not in steps of a whole row, which would see one column of every map
        order = torch.arange(PLACEMENT_SAMPLE, device=x.device)
        rows = rows[order * (len(rows) - 1) // (PLACEMENT_SAMPLE - 1)]
    means = [rows[0]]
    for _ in range(num_clusters - 1):
        nearest = torch.stack([(rows - mean).square().sum(1) for mean in means]).amin(0)
        means.append(rows[nearest.argmax()])
    return torch.stack(means), var.expand(num_clusters, -1)


def gather_around(
    mean: Tensor, var: Tensor, num_clusters: int, apart: float
) -> tuple[Tensor, Tensor]:
    """Start components within `apart` standard deviations of a mean, each as wide as the data (C,).

    So close, a mixture normalises much as BatchNorm does; EM then drives components apart where the
    data have several modes, and keeps them together where they have one.

    Returns:
        means (K, C) and variances (K, C).
    """
    offsets = apart * (2 * evenly_inside_unit(num_clusters, mean) - 1)
    return mean + offsets[:, None] * var.sqrt(), var.expand(num_clusters, -1)


def describe_mixture(state: "RunningMixture | LearnedMixture", eps: float) -> Mixture:
    """Describe a mixture to analyses, with a layer's eps added to its variances."""
    return Mixture(
        state.log_prior.detach().double().exp(),
        state.mean.detach().double(),
        state.var.detach().double() + eps,
        state.assign,
    )


def posterior(state: "RunningMixture | LearnedMixture", x: Tensor, eps: float) -> Tensor:
    """Compute p(k | x) of activations x (N, C, L): (K, N, C, L), or 1 where shared."""
    components = Gate(state.log_prior, state.mean, state.var + eps)
    if state.assign == "sample" and x.numel() > 0:  # by moments: no tensor is K times as large as x
        return sample_log_joint(*sample_moments(x), components).softmax(0)[:, :, None, None]
    return responsibilities(x, *components, state.assign)


class RunningMixture(nn.Module):
    """A mixture followed by online EM: moving averages of each component's sufficient statistics.

    A component moves in proportion to the data it explains, so one that a batch does not touch
    stays where it is. With one component this is BatchNorm's moving average.

    Args:
        num_clusters: components K.
        num_features: channels C.
        momentum: weight of the newest batch.
        assign: see `moments.log_joint`.
    """

    prior: Tensor
    mean: Tensor
    var: Tensor
    num_batches_tracked: Tensor

    FEWEST_PLACED: ClassVar[int] = 2  # one component alone starts as BatchNorm does

    def __init__(
        self, num_clusters: int, num_features: int, momentum: float, assign: Assign
    ) -> None:
        super().__init__()
        check_fraction("momentum", momentum)
        self.assign: Assign = assign
        self.momentum = momentum
        prior_features = num_features if assign == "channel" else 1
        self.register_buffer("prior", torch.full((num_clusters, prior_features), 1 / num_clusters))
        self.register_buffer("mean", torch.zeros(num_clusters, num_features))
        self.register_buffer("var", torch.ones(num_clusters, num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        # Whether components still have to be placed, which `num_batches_tracked` knows too, but
        # asking it would stall a GPU.
        self.fresh = num_clusters >= self.FEWEST_PLACED
        self.register_load_state_dict_post_hook(_refresh)  # type: ignore[no-untyped-call]

    @property
    def log_prior(self) -> Tensor:
        """The log shares, (K, C) or (K, 1)."""
        return self.prior.clamp_min(SMALLEST_PRIOR).log()

    def place(self, x: Tensor) -> None:
        """Start on the activations x (N, C, L)."""
        self.set(*place_components(x, len(self.mean), self.assign))

    @torch.no_grad()
    def set(self, mean: Tensor, var: Tensor) -> None:
        """Start from given means and variances, (K, C) each, with equal shares."""
        self.mean.copy_(mean)
        self.var.copy_(var)
        self.num_batches_tracked.fill_(1)
        self.fresh = False

    def reset_running_stats(self) -> None:
        """Forget all components; the next batch places new ones."""
        self.prior.fill_(1 / len(self.prior))
        self.mean.zero_()
        self.var.fill_(1)
        self.num_batches_tracked.zero_()
        self.fresh = len(self.mean) >= self.FEWEST_PLACED

    @torch.no_grad()
    def update(self, share: Tensor, mean: Tensor, var: Tensor, num_values: int) -> None:
        """Move towards a batch's moments.

        Args:
            share: each component's share of the batch, (K, C) or (K, 1).
            mean: (K, C).
            var: biased, (K, C).
            num_values: values per channel in the batch, more than one.
        """
        share, mean, var = (value.to(self.prior) for value in (share, mean, var))
        self.prior.lerp_(share, self.momentum)
        step = self.momentum * share / self.prior.clamp_min(SMALLEST_PRIOR)
        self.mean.lerp_(mean, step)
        self.var.lerp_(var * (num_values / (num_values - 1)), step)
        self.num_batches_tracked.add_(1)


class LearnedMixture(nn.Module):
    """A mixture whose parameters the task's gradient moves.

    Shares are a softmax of `logits`, variances a softplus of `raw_var` plus a floor.

    Args:
        num_clusters: components K.
        num_features: channels C.
        assign: see `moments.log_joint`.
    """

    num_batches_tracked: Tensor

    FEWEST_PLACED: ClassVar[int] = 1
    FLOOR: ClassVar[float] = 1e-5

    def __init__(self, num_clusters: int, num_features: int, assign: Assign) -> None:
        super().__init__()
        self.assign: Assign = assign
        prior_features = num_features if assign == "channel" else 1
        self.logits = nn.Parameter(torch.zeros(num_clusters, prior_features))
        self.mean = nn.Parameter(torch.zeros(num_clusters, num_features))
        self.raw_var = nn.Parameter(torch.full((num_clusters, num_features), 0.5413))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.fresh = num_clusters >= self.FEWEST_PLACED
        self.register_load_state_dict_post_hook(_refresh)  # type: ignore[no-untyped-call]

    @property
    def log_prior(self) -> Tensor:
        """The log shares, (K, C) or (K, 1)."""
        return self.logits.log_softmax(0)

    @property
    def var(self) -> Tensor:
        """The variances, (K, C)."""
        return F.softplus(self.raw_var) + self.FLOOR

    def place(self, x: Tensor) -> None:
        """Start on the activations x (N, C, L)."""
        self.set(*place_components(x, len(self.mean), self.assign))

    @torch.no_grad()
    def set(self, mean: Tensor, var: Tensor) -> None:
        """Start from given means and variances, (K, C) each, with equal shares."""
        self.mean.copy_(mean)
        target = (var - self.FLOOR).clamp_min(self.FLOOR)
        # softplus is the identity to float precision where expm1 would overflow
        self.raw_var.copy_(torch.where(target > 20, target, target.clamp_max(20).expm1().log()))
        self.num_batches_tracked.fill_(1)
        self.fresh = False


def _refresh(mixture: Any, _: object) -> None:
    unplaced = bool(mixture.num_batches_tracked == 0)
    mixture.fresh = unplaced and len(mixture.mean) >= mixture.FEWEST_PLACED
