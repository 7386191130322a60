"""UCB-Norm at test time: a mixture that starts from the source's statistics and follows a stream.

Paper: none for the test time; the mixture is that of Faye, Azzag, Lebbah and Bouchaffra,
"Cluster-Based Normalization Layer for Neural Networks", 2024, https://arxiv.org/abs/2403.16798.

Each image of a stream is assigned to the components, which move towards what they were assigned,
by online EM as in training, and then normalise it. With one component, that is
`robust_batch_norm` by unbiased variances. K components start about the mean and variance of a
trained BatchNorm, with noise e of variance one, so that together they have these moments:

    mean_k = mean_s + sqrt(spread K / (K - 1)) sd_s e,    var_k = (1 - spread) var_s.

With `spread=0` they start equal, and the first batch of at least K images parts them. With `back`
they also return, by that weight for 64 images, to where they started:

    mean_k <- mean_k + back (start_k - mean_k), and the variances alike.
"""

from math import prod

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.limits import Count, Fraction, Positive
from dacbn.norms.batch_moments import values_per_channel
from dacbn.norms.contract import norms
from dacbn.norms.following import FollowsStream, noise, refuse_recomputation, weight_of
from dacbn.norms.mixture.arguments import Affine, Components, Gate, in_type
from dacbn.norms.mixture.by_sample import (
    mix_samples,
    pool_samples,
    sample_log_joint,
    sample_moments,
)
from dacbn.norms.mixture.kernels.stream import step_in_c
from dacbn.norms.mixture.state import RunningMixture
from dacbn.norms.ucb_norm import UCBNorm


@norms.register("stream_ucb_norm")
class StreamUCBNorm(UCBNorm, FollowsStream):
    """Normalise each image by the components of a Gaussian mixture that follow a stream.

    In training it is UCB-Norm with assign="sample". In evaluation, components move in
    `dacbn.norms.following` only.

    Args:
        num_features: channels C.
        num_clusters: components K.
        eps: added to every variance.
        momentum: weight of the newest batch in training.
        affine: learn `weight` and `bias`.
        rate: weight of 64 images of a stream.
        spread: share of the source's variance that lies between the components at the start: the
            less, the more of the network's function is kept, which deep ones need.
        back: weight by which the components return to their start, for 64 images.
    """

    source_mean: Tensor
    source_var: Tensor

    def __init__(
        self,
        num_features: int,
        num_clusters: Count = 8,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        rate: Fraction = 0.1,
        spread: Fraction = 0.0001,
        back: Fraction = 0.0,
    ) -> None:
        super().__init__(num_features, num_clusters, eps, momentum, affine, assign="sample")
        self.rate = rate
        self.spread = spread
        self.back = back
        self.register_buffer("source_mean", self.components.mean.clone())
        self.register_buffer("source_var", self.components.var.clone())

    @property
    def components(self) -> RunningMixture:
        """The mixture that assigns and normalises."""
        assert self.running is not None
        return self.running

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *), and move the components if they follow."""
        y = self.step(x) if self.follows and isinstance(x, Tensor) else None
        return super().forward(x) if y is None else y

    def step(self, x: Tensor) -> Tensor | None:
        """Follow x (N, C, *) in compiled code; None if there is none for it."""
        self.check_input(x)
        held = self.components
        if values_per_channel(x) <= 1 or held.uninitialised:
            return None
        moved, start = (held.prior, held.mean, held.var), (self.source_mean, self.source_var)
        numbers = self.eps, weight_of(len(x), self.rate), weight_of(len(x), self.back)
        return step_in_c("stream_mixture", x, moved, (*start, self.weight, self.bias), numbers)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, *), and move the components if they follow."""
        if self.follows and values_per_channel(x) > 1:
            wide = torch.promote_types(x.dtype, torch.float32)
            return self.follow(x.to(wide)).to(x.dtype)
        y = super().normalise(x)
        if self.training:
            self.keep_start()
        return y

    def follow(self, x: Tensor) -> Tensor:
        """Move the components towards x (N, C, *), and normalise it by them."""
        refuse_recomputation()
        self._init_from_batch(x)
        held, count, length = self.components, len(x), prod(x.shape[2:])
        moments = sample_moments(x)
        gate = Gate(*in_type(x.dtype, *held.as_gate(self.eps)))
        weights = sample_log_joint(*moments, gate).softmax(0)
        with torch.no_grad():
            known = in_type(x.dtype, held.mean, held.var)
            found = pool_samples(*moments, length, weights, *known)
            held.update(*found, count * length, weight_of(count, self.rate))
            if self.back:
                weight = weight_of(count, self.back)
                held.mean.lerp_(self.source_mean, weight)
                held.var.lerp_(self.source_var, weight)
        components = Components(*in_type(x.dtype, held.mean.clone(), held.var + self.eps))
        return mix_samples(x, weights, components, Affine(self.weight, self.bias))

    def load_batch_norm(self, batch_norm: _BatchNorm) -> None:
        """Place the components about a trained BatchNorm's statistics."""
        super().load_batch_norm(batch_norm)
        held = self.components
        if self.spread and self.num_clusters > 1:
            away = (self.spread * self.num_clusters / (self.num_clusters - 1)) ** 0.5
            offset = away * noise(self.num_clusters, self.num_features).to(held.mean)
            held.set_components(held.mean + offset * held.var.sqrt(), held.var * (1 - self.spread))
        self.keep_start()

    @torch.no_grad()
    def keep_start(self) -> None:
        """Remember where the components are, as the start of a stream."""
        self.source_mean.copy_(self.components.mean)
        self.source_var.copy_(self.components.var)

    def reset_running_stats(self) -> None:
        """Restore the initial statistics; the components have been reset already."""
        super().reset_running_stats()
        self.keep_start()

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
        return f"{super().extra_repr()}, rate={self.rate}, spread={self.spread}, back={self.back}"
