"""Unsupervised cluster-based normalisation (UCB-Norm).

Paper: Faye, Azzag, Lebbah and Bouchaffra, "Cluster-Based Normalization Layer for Neural Networks",
2024, https://arxiv.org/abs/2403.16798; published as Unsupervised Adaptive Normalization (UAN) by
Faye, Azzag, Lebbah and Feng, IJCNN 2024, https://arxiv.org/abs/2409.04757.

Activations are modelled by a Gaussian mixture. Each value is assigned softly to the
components, standardised by every one of them, and the results are averaged by responsibility:

    y = sum_k r_k(x) * (x - m_k) / sqrt(v_k + eps),    r_k(x) = p(k | x).

Differs from the paper: according to the paper, both gradient descent and moving averages update the
mixture, but both cannot update one tensor. `update` selects one of three possible readings. The
factor 1 / sqrt(prior) is off by default, because it multiplies the output's standard deviation by
about sqrt(K) and lets a rare component dominate; `prior_scale` restores it. Densities are complete
(with 1 / sigma), responsibilities sum to one, moments are pooled over batch and positions, and an
affine map follows, as in BatchNorm. `gate="shared"` is ours: layers with gates of their own put
the same images into different components.
"""

from math import prod
from typing import Literal, Self

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.channel_map import ChannelMap, mixing
from dacbn.norms.contract import Mixture, Norm, norms, trained_statistics
from dacbn.norms.mixture.arguments import (
    Affine,
    Components,
    Gate,
    Options,
    gate_of,
    in_type,
    log_of,
)
from dacbn.norms.mixture.by_sample import sample_log_joint, sample_moments
from dacbn.norms.mixture.channel_steps import channel_step
from dacbn.norms.mixture.joint_steps import follow, kernel_that_follows
from dacbn.norms.mixture.kernels.joint import JointOptions, Kernel
from dacbn.norms.mixture.moments import Assign, log_joint
from dacbn.norms.mixture.normalise import normalise_by_mixture, reads_in_place
from dacbn.norms.mixture.routes import traced_as_one, without_autocast
from dacbn.norms.mixture.state import LearnedMixture, RunningMixture
from dacbn.norms.network.shared_assignments import (
    SharedAssignments,
    check_shareable,
    share_assignments,
)
from dacbn.norms.recomputation import PastTables, is_recomputation
from dacbn.norms.seen_as_batch_norm import SeenAsBatchNorm
from dacbn.processes import batch_rows, is_shared, total

Update = Literal["em", "learned", "hybrid"]
Gating = Literal["own", "shared"]


@norms.register("ucb_norm")
class UCBNorm(Norm, SeenAsBatchNorm):
    """Normalise by the components of a Gaussian mixture found during training.

    Args:
        num_features: channels C.
        num_clusters: components K; with one, the layer is BatchNorm, unless update="learned".
        eps: added to every variance.
        momentum: weight of the newest batch in the running mixture.
        affine: learn `weight` and `bias`.
        update: "em" follows the activations by online EM and normalises by batch moments in
            training and by the running mixture otherwise; "learned" learns the mixture by
            gradient descent and normalises by it always; "hybrid" learns the assignment and
            keeps running moments, by which it normalises in evaluation.
        assign: what is assigned to components: every value ("channel", a mixture per channel, as
            published), every position's channels jointly ("position"), or every sample ("sample").
        prior_scale: divide each component's term by the square root of its prior, as published.
        gate: which layers assign: each ("own"), or only the first of the layers that a conversion
            makes, for all of them ("shared"), which needs assign="sample" and update="em". A layer
            by itself assigns too. Gradients reach the first layer through all of them, so
            checkpoints need use_reentrant=False.

    Raises:
        ValueError: an option has no such value, or gate="shared" does not suit the others; or, at a
            forward, the network turns positions into samples.
        RuntimeError: at a forward of a layer that shares, outside of its network's.

    Example:
        >>> import torch
        >>> layer = UCBNorm(4, num_clusters=2)
        >>> x = torch.randn(8, 4, 5, 5)
        >>> layer(x).shape
        torch.Size([8, 4, 5, 5])
        >>> layer.mixture().mean.shape  # clusters, channels
        torch.Size([2, 4])
        >>> layer.assignments(x.flatten(2)).shape  # clusters, samples, channels, positions
        torch.Size([2, 8, 4, 25])
    """

    gating: Gating = "own"
    shared: SharedAssignments | None = None
    assigns = True  # and does not take over what another layer of the network assigned

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 3,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        update: Update = "em",
        assign: Assign = "channel",
        prior_scale: bool = False,
        gate: Gating = "own",
    ) -> None:
        super().__init__(num_features, eps, affine)
        if gate == "shared":
            check_shareable(update, assign)
        self.gating = gate
        self.num_clusters = num_clusters
        self.update: Update = update
        self.assign: Assign = assign
        self.prior_scale = prior_scale
        self.past = PastTables()
        self.learned = (
            None if update == "em" else LearnedMixture(num_clusters, num_features, assign)
        )
        self.running = (
            None
            if update == "learned"
            else RunningMixture(num_clusters, num_features, momentum, assign)
        )

    @property
    def gate(self) -> RunningMixture | LearnedMixture:
        """The mixture that assigns."""
        mixture = self.running if self.learned is None else self.learned
        assert mixture is not None
        return mixture

    @property
    def statistics(self) -> RunningMixture | LearnedMixture:
        """The mixture by which evaluation standardises."""
        mixture = self.learned if self.running is None else self.running
        assert mixture is not None
        return mixture

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *)."""
        if isinstance(x, fx.Proxy):
            return traced_as_one(self, x)
        if self.assign == "channel":
            self.check_input(x)
            return self.normalise(x)
        if not (reads_in_place(x, self.assign) or (self.training and self._kernel_for(x))):
            return super().forward(x)
        self.check_input(x)
        with without_autocast(x):
            return self.normalise(x)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, *), then scale and shift it."""
        num_values = batch_rows(x) * prod(x.shape[2:])
        by_batch = self.training and num_values > 1
        if by_batch:
            self._init_from_batch(x)
        running, learned, affine = self.running, self.learned, Affine(self.weight, self.bias)
        by_value = self.assign == "channel" and learned is None and not self.prior_scale
        by_itself = running if by_batch and by_value else None
        if by_itself and (stepped := channel_step(by_itself, x, affine, self.eps)) is not None:
            return stepped
        kernel = self._kernel_for(x) if by_batch else None
        if kernel is not None and running is not None:
            read, options = running.read_by(x), JointOptions(self.eps, from_batch=True)
            scale = (-0.5 * log_of(read[0])).exp() if self.prior_scale else None
            affine = Affine(*in_type(x.dtype, *affine))
            return follow(kernel, running, read, x, None, affine, options, scale)
        from_batch, statistics = by_batch and running is not None, self.statistics
        prior, mean, var = None, statistics.mean, statistics.var
        if from_batch and running is not None:
            prior, mean, var = running.read_by(x)
        if learned is None and prior is not None:
            gate = gate_of(prior, mean, var, self.eps)
        else:
            gate = self.gate.as_gate(self.eps)
        scale = (-0.5 * gate.log_prior).exp() if self.prior_scale else None
        y, share, mean, var = normalise_by_mixture(
            x,
            gate,
            Components(mean, var, scale),
            affine,
            Options(self.eps, from_batch, is_shared()),
            self.assign,
            None if self.shared is None else self.share(x, self.shared, gate),
        )
        if from_batch and running is not None:
            running.update(share, mean, var, num_values)
        return y

    def _kernel_for(self, x: Tensor) -> Kernel | None:
        """Return compiled code that assigns all channels of a position of x (N, C, *) at once."""
        if self.running is None or self.learned is not None or self.assign == "channel":
            return None
        if self.assign == "sample" and (self.shared is not None or prod(x.shape[2:]) != 1):
            return None
        return kernel_that_follows(self.running, x)

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map, if all components are equal."""
        scale = (-0.5 * self.gate.log_prior).exp() if self.prior_scale else None
        return mixing(self.statistics, Affine(self.weight, self.bias), self.assign, scale)

    def share(self, x: Tensor, shared: SharedAssignments, gate: Gate) -> Tensor:
        """Return to what degree the samples x (N, C, L) belong to each component: (K, N).

        The first layer of the network finds it, the others read it.
        """
        wide = torch.promote_types(x.dtype, torch.float32)
        if self.assigns and shared.found is None:
            gate = Gate(*in_type(wide, *gate))
            return shared.keep(sample_log_joint(*sample_moments(x), gate).softmax(0).T).T
        if is_recomputation():
            return self.past.read(x)[0].T
        found = shared.read(x.shape[0]).to(wide)
        if torch.is_grad_enabled():  # it may be asked for again
            self.past.read(x, found)
        return found.T

    def mixture(self) -> Mixture:
        """Return the mixture that assigns; of a layer that shares, by what another assigned."""
        return self.gate.describe(self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Compute p(k | x) of activations x (N, C, L): (K, N, C, L), or 1 where shared.

        Layers that share assignments know them during a forward pass of their network only.
        """
        if self.shared is not None:
            return self.share(x, self.shared, self.gate.as_gate(self.eps))[:, :, None, None]
        return self.gate.posterior(x, self.eps)

    def nll(self, x: Tensor) -> Tensor:
        """Compute the mean negative log-likelihood of activations x (N, C, *): a scalar.

        Add it to the task's loss, which alone does not make learned components fit the data.
        """
        gate, flat = self.gate, x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
        joint = log_joint(flat, gate.log_prior, gate.mean, gate.var + self.eps, self.assign)
        found = joint.logsumexp(0)
        (summed,) = total(found.sum())
        return -summed / (batch_rows(x) * prod(found.shape[1:]))

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Start all components on a trained BatchNorm's statistics, which keeps its function.

        `weight` undoes the factor of the equal priors.
        """
        trained = trained_statistics(batch_norm)
        if trained is None:
            return
        for mixture in (self.running, self.learned):
            if mixture is not None:
                mixture.inherit(*trained)
        if self.prior_scale and self.weight is not None:
            self.weight.div_(self.num_clusters**0.5)

    @classmethod
    def after_conversion(
        cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None
    ) -> list[str]:
        """Let the layer that runs first assign for all, with gate="shared"."""
        if any(layer.gating == "own" for layer in layers.values()):
            return []
        first = share_assignments(model, layers)
        for name, layer in layers.items():
            layer.assigns = name == first
        return [f"{first} assigns the images to components for all {len(layers)} layers"]

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return (
            f"{super().extra_repr()}, num_clusters={self.num_clusters}, update={self.update!r}, "
            f"assign={self.assign!r}, prior_scale={self.prior_scale}, gate={self.gating!r}"
        )

    def _init_from_batch(self, x: Tensor) -> None:
        """Initialise an unset mixture from the first batch with at least K values to assign.

        Where another layer assigns, the components start as BatchNorm does, or on what they
        inherited, and the assignments part them.
        """
        if not self.assigns:
            return
        for mixture in (self.running, self.learned):
            if mixture is None or not mixture.uninitialised:
                continue
            assigned = batch_rows(x) * (1 if self.assign == "sample" else prod(x.shape[2:]))
            if assigned >= self.num_clusters:
                flat = x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
                mixture.init_from_batch(flat.detach().to(mixture.mean))
