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
affine map follows, as in BatchNorm.
"""

from typing import Literal

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.contract import Mixture, Norm, norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine, Components, Options
from dacbn.norms.mixture.moments import Assign, log_joint
from dacbn.norms.mixture.normalise import normalise_by_mixture
from dacbn.norms.mixture.state import LearnedMixture, RunningMixture, gate_of

Update = Literal["em", "learned", "hybrid"]


@norms.register("ucb_norm")
class UCBNorm(Norm):
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

    Raises:
        ValueError: an option has no such value.

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
    ) -> None:
        super().__init__(num_features, eps, affine)
        self.num_clusters = num_clusters
        self.update: Update = update
        self.assign: Assign = assign
        self.prior_scale = prior_scale
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
        if self.assign != "channel":
            return super().forward(x)
        self.check_input(x)
        return self.normalise(x)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, *), then scale and shift it."""
        num_values = x.numel() // self.num_features
        by_batch = self.training and num_values > 1
        if by_batch:
            self._init_from_batch(x)
        running, learned, statistics = self.running, self.learned, self.statistics
        from_batch = by_batch and running is not None
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
            Affine(self.weight, self.bias),
            Options(self.eps, from_batch),
            self.assign,
        )
        if from_batch and running is not None:
            running.update(share, mean, var, num_values)
        return y

    def mixture(self) -> Mixture:
        """Return the mixture that assigns."""
        return self.gate.describe(self.eps)

    def assignments(self, x: Tensor) -> Tensor:
        """Compute p(k | x) of activations x (N, C, L): (K, N, C, L), or 1 where shared."""
        return self.gate.posterior(x, self.eps)

    def nll(self, x: Tensor) -> Tensor:
        """Compute the mean negative log-likelihood of activations x (N, C, *): a scalar.

        The task's loss alone does not make learned components fit the data; add this loss if they
        should.
        """
        gate, flat = self.gate, x.reshape(x.shape[0], x.shape[1], -1)
        joint = log_joint(flat, gate.log_prior, gate.mean, gate.var + self.eps, self.assign)
        return -joint.logsumexp(0).mean()

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

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return (
            f"{super().extra_repr()}, num_clusters={self.num_clusters}, update={self.update!r}, "
            f"assign={self.assign!r}, prior_scale={self.prior_scale}"
        )

    def _init_from_batch(self, x: Tensor) -> None:
        """Initialise an unset mixture from the first batch with at least K values to assign."""
        num_assigned = x.shape[0] if self.assign == "sample" else x.numel() // self.num_features
        for mixture in (self.running, self.learned):
            if mixture is None or num_assigned < self.num_clusters or not mixture.uninitialised:
                continue
            mixture.init_from_batch(x.detach().to(mixture.mean).reshape(*x.shape[:2], -1))


@norms.register("uan")
class UAN(UCBNorm):
    """Normalise by a mixture whose assignment is learned: UCB-Norm as it was published as UAN.

    According to UAN's paper, gradient descent learns its parameters, and moving averages of the
    batches follow each component. Both hold only with update="hybrid": gradients update the mixture
    that assigns, averages the moments that normalise in evaluation. Values are assigned one by one,
    and terms are divided by the square root of their prior. The paper has no affine map:
    `affine=False`.

    Args:
        num_features: channels C.
        num_clusters: components K.
        eps: added to every variance.
        momentum: weight of the newest batch in the running moments.
        affine: learn `weight` and `bias`.

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 3,
        eps: Positive = 1e-3,
        momentum: Fraction = 0.1,
        affine: bool = True,
    ) -> None:
        super().__init__(
            num_features, num_clusters, eps, momentum, affine, "hybrid", "channel", prior_scale=True
        )
