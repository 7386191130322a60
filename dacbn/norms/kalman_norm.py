"""Kalman normalisation (KN), for batches too small to estimate moments from.

Paper: Wang, Peng, Luo, Wang and Lin, "Kalman Normalization: Normalizing Internal Representations
Across Network Layers", NeurIPS 2018, https://arxiv.org/abs/1802.03133.

A layer's moments are not estimated from the batch alone: the layers before it predict them, and
the batch corrects the prediction by a gain q,

    mean = (1 - q) m + q mean_batch,
    var  = (1 - q) v + q var_batch + q (1 - q) (mean_batch - m)^2,

the moments of a mixture of prediction and batch. Training normalises by them, and evaluation by
their running averages. With gain 1, or where nothing predicts, the layer is BatchNorm. The gain is
a constant, not that of an optimal filter.

Differs from the paper: covariances are diagonal, as in the authors' code. Of the two transitions,
"moments" goes on from what the previous normalisers put out, whose moments are (bias, weight²);
the code goes on from the moments before normalising, which are not those of what is passed on, and
draws samples where the propagation here is in closed form. It takes the network's images as
standardised, so that the first layer has a prediction too. "learned" is the paper's linear map of
the previous layer's belief. The code's guard against predictions much wider than the batch is left
out: at a micro-batch of two values some variance is always near 0, and it would always act.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, fx, nn

from dacbn.norms.batch_norm import BatchNorm
from dacbn.norms.contract import Norm, check_fraction, has_statistics, norms
from dacbn.norms.network.kalman_chain import Chain, LearnedTransition
from dacbn.norms.network.kalman_graph import MomentGraph
from dacbn.norms.network.moment_propagation import Moments, stretch
from dacbn.norms.network.trace import trace

Transition = Literal["moments", "learned"]


@norms.register("kalman_norm")
class KalmanNorm(BatchNorm):
    """Standardise by the batch's moments, fused with those the layers before it predict.

    A conversion of a network links its layers; one that is built by itself is BatchNorm. Every
    layer computes its prediction when it runs, from the weights between it and the normalisers
    before: together about one more pass over all weights, and several in DenseNet.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.
        affine: learn `weight` and `bias`.
        gain: weight of the batch against the prediction; small for micro-batches of up to 4, near 1
            for 32 and more.
        transition: "moments" propagates means and variances through the traced network; "learned"
            learns linear maps from layer to layer, which any network allows, and is what becomes
            of "moments" where the network cannot be traced. Its maps together have about as many
            parameters as 1x1 convolutions in their place, and gradient checkpointing is not for it.

    Raises:
        ValueError: gain is no fraction, or there is no such transition.
    """

    needs: ClassVar[tuple[str, ...]] = ("a traced graph",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        gain: float = 0.1,
        transition: Transition = "moments",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        check_fraction("gain", gain)
        if transition not in get_args(Transition):
            raise ValueError(
                f"transition must be one of {', '.join(get_args(Transition))}, got {transition!r}"
            )
        self.gain = gain
        self.transition: Transition = transition
        self.graph: MomentGraph | None = None
        self.place = ""  # the name of this layer in the graph
        self.learned: LearnedTransition | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *)."""
        predicted = self.graph is not None or self.learned is not None
        if not (predicted and self.training and x.numel() and self.gain < 1):
            return super().forward(x)
        return Norm.forward(self, x)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the corrected prediction."""
        if self.learned is not None and self.learned.fresh:
            self.learned.place(x)
        prediction = self.predict(x)
        assert prediction is not None
        batch_mean = x.mean((0, 2))
        batch = batch_mean, (x - batch_mean[:, None]).square().mean((0, 2))
        mean, var = fuse(prediction, batch, self.gain)
        if self.learned is not None:
            self.learned.chain.store(self.learned.position, (mean, var))
        self._follow(mean, var, batch[1], x.shape[0] * x.shape[2])
        return (x - mean[:, None]) * (var + self.eps).rsqrt()[:, None]

    def predict(self, like: Tensor) -> Moments | None:
        """Compute what the layers before say of this one: mean and variance (C,), or None.

        Args:
            like: a tensor whose device and dtype they should have.
        """
        if self.learned is not None:
            moments: Moments | None = self.learned.predict()
        else:
            moments = None if self.graph is None else self.graph.predict(self.place, like)
            moments = None if moments is None else stretch(moments, self.num_features)
        if moments is None:
            return None
        return moments[0].to(like.dtype), moments[1].to(like.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor, batch_var: Tensor, num_values: int) -> None:
        """Move the running statistics; the batch's part of the variance is made unbiased."""
        unbiased = var + self.gain * batch_var / max(num_values - 1, 1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        self.num_batches_tracked.add_(1)

    @classmethod
    def finish(cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None) -> list[str]:
        """Link the layers to what comes before them in the network."""
        graph = trace(model)
        if next(iter(layers.values())).transition == "learned":
            return [_learn(layers, graph)]
        if graph is None:
            return [f"the network cannot be traced: {_learn(layers, graph)}"]
        moments = MomentGraph(model, graph)
        for name, layer in layers.items():
            layer.graph, layer.place = moments, name
            if layer.predict(layer.running_mean) is None:
                layer.graph = None
        linked = sum(layer.graph is not None for layer in layers.values())
        return [f"{linked} of {len(layers)} layers have a prediction"]

    def extra_repr(self) -> str:
        """Say the sizes and choices that a printed model should show."""
        return f"{super().extra_repr()}, gain={self.gain}, transition={self.transition!r}"


def fuse(prediction: Moments, batch: Moments, gain: float) -> Moments:
    """Correct predicted moments by a batch's: the moments of a mixture of the two."""
    (predicted_mean, predicted_var), (batch_mean, batch_var) = prediction, batch
    surprise = batch_mean - predicted_mean
    var = predicted_var + gain * (batch_var - predicted_var)
    return predicted_mean + gain * surprise, var + gain * (1 - gain) * surprise.square()


@torch.no_grad()
def _learn(layers: Mapping[str, KalmanNorm], graph: fx.Graph | None) -> str:
    """Chain layers in the order they run in, or else that of their registration."""
    order = list(layers) if graph is None else [str(node.target) for node in graph.nodes]
    ordered = [layers[name] for name in dict.fromkeys(order) if name in layers]
    chain, previous, added = Chain(len(ordered)), 0, 0
    for turn, layer in enumerate(ordered):
        known = has_statistics(layer)  # type: ignore[arg-type]
        transition = LearnedTransition(
            chain, turn, previous, layer.running_mean, layer.running_var, known
        )
        layer.learned = transition.train(layer.training)
        previous = layer.num_features
        added += sum(value.numel() for value in transition.parameters())
    return f"{len(ordered)} layers learn their transitions, {added} parameters more"
