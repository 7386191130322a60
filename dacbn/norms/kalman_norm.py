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
"moments" starts from the outputs of the previous normalisers, whose moments are (bias, weight²);
the code starts from the moments before normalising, which are not those of the outputs, and
draws samples where the propagation here is in closed form. It takes the network's images as
standardised, so that the first layer has a prediction too. "learned" is the paper's linear map of
the previous layer's belief. The code's guard against predictions much wider than the batch is left
out: at a micro-batch of two values some variance is always near 0, and it would always act.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, fx, nn

from dacbn.limits import Fraction, Positive
from dacbn.norms.batch_moments import batch_moments, values_per_channel
from dacbn.norms.batch_norm import batch_normalise
from dacbn.norms.channel_map import ChannelMap, standardising
from dacbn.norms.contract import Need, norms, trained_statistics
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.mixture.routes import traced_as_one
from dacbn.norms.network.kalman_chain import Chain, LearnedTransition
from dacbn.norms.network.kalman_graph import MomentGraph
from dacbn.norms.network.moment_propagation import Moments, stretch
from dacbn.norms.network.trace import trace
from dacbn.norms.running_statistics import RunningStatistics
from dacbn.processes import batch_rows, whole_batch

Transition = Literal["moments", "learned"]


@norms.register("kalman_norm")
class KalmanNorm(RunningStatistics):
    """Standardise by the batch's moments, fused with those predicted by the layers before it.

    A conversion of a network links its layers; a layer built alone is BatchNorm. Every
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
            learns linear maps from layer to layer; it works in any network, and replaces "moments"
            if the network cannot be traced. Its maps together have about as many
            parameters as 1x1 convolutions would, and gradient checkpointing is not supported.

    Raises:
        ValueError: gain is no fraction, or there is no such transition.
    """

    standardises_channels: ClassVar[bool] = True

    needs: ClassVar[tuple[Need, ...]] = (Need.TRACED_GRAPH,)

    def __init__(
        self,
        num_features: int,
        eps: Positive = 1e-5,
        momentum: Fraction = 0.1,
        affine: bool = True,
        gain: Fraction = 0.1,
        transition: Transition = "moments",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine)
        self.gain = gain
        self.transition: Transition = transition
        self.graph: MomentGraph | None = None
        self.name = ""  # name of this layer in the graph
        self.learned: LearnedTransition | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, C) or (N, C, *)."""
        if isinstance(x, fx.Proxy):
            return traced_as_one(self, x)
        predicted = self.graph is not None or self.learned is not None
        if predicted and self.training and batch_rows(x) and self.gain < 1:
            return super().forward(x)
        self.check_input(x)
        return batch_normalise(self, x)

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise x of shape (N, C, L) by the corrected prediction."""
        if self.learned is not None and self.learned.uninitialised:
            with whole_batch(x) as (whole,):
                self.learned.init_from_batch(whole)
        prediction = self.predict(x)
        assert prediction is not None
        batch = batch_moments(x)
        mean, var = fuse(prediction, batch, self.gain)
        if self.learned is not None:
            self.learned.chain.store(self.learned.position, (mean, var))
        # the batch's part of the variance is made unbiased
        unbiased = var + self.gain * batch[1] / max(values_per_channel(x) - 1, 1)
        self.update_statistics(running_mean=mean, running_var=unbiased)
        return self.affine((x - mean[:, None]) * (var + self.eps).rsqrt()[:, None])

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the map by running statistics, which are not predicted."""
        return standardising(*self.running_moments(), Affine(self.weight, self.bias))

    def predict(self, like: Tensor) -> Moments | None:
        """Predict the mean and variance (C,) from the preceding layers; None if they cannot.

        Args:
            like: a tensor with the device and dtype of the prediction.
        """
        if self.learned is not None:
            moments: Moments | None = self.learned.predict()
        else:
            moments = None if self.graph is None else self.graph.predict(self.name, like)
            moments = None if moments is None else stretch(moments, self.num_features)
        if moments is None:
            return None
        return moments[0].to(like.dtype), moments[1].to(like.dtype)

    @classmethod
    def after_conversion(
        cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None
    ) -> list[str]:
        """Link the layers to those before them in the network."""
        graph = trace(model)
        if next(iter(layers.values())).transition == "learned":
            return [_learn(layers, graph)]
        if graph is None:
            return [f"the network cannot be traced: {_learn(layers, graph)}"]
        moments = MomentGraph(model, graph)
        for name, layer in layers.items():
            layer.graph, layer.name = moments, name
            if layer.predict(layer.running_mean) is None:
                layer.graph = None
        linked = sum(layer.graph is not None for layer in layers.values())
        return [f"{linked} of {len(layers)} layers have a prediction"]

    def extra_repr(self) -> str:
        """Return what a printed model shows of this layer."""
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
        known = trained_statistics(layer) is not None
        transition = LearnedTransition(
            chain, turn, previous, layer.running_mean, layer.running_var, known
        )
        layer.learned = transition.train(layer.training)
        previous = layer.num_features
        added += sum(value.numel() for value in transition.parameters())
    return f"{len(ordered)} layers learn their transitions, {added} parameters more"
