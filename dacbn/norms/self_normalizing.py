"""Self-normalizing networks: no normaliser, but activations and weights that keep the moments.

Paper: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NeurIPS
2017, https://arxiv.org/abs/1706.02515.
Differs from the paper: the paper is about fully connected networks. In others, residual sums would
add up variances, so a branch whose sum has a skip starts closed, by zeros in its last layer, as in
De and Smith, "Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep
Networks", NeurIPS 2020, https://arxiv.org/abs/2002.10444; the k terms of other sums are divided by
sqrt(k). A scale per channel is learned in addition to the bias. Padding by zeros, pooling and
sigmoid gates, such as those of squeeze-and-excitation, still change the moments.
"""

from typing import ClassVar, Self

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from dacbn.norms.channel_map import ChannelMap, scaling
from dacbn.norms.contract import Need, Norm, norms
from dacbn.norms.mixture.arguments import Affine
from dacbn.norms.network.residual_sums import called, find_sums
from dacbn.norms.network.trace import trace

# By names in lower case without underscores, since they come from several libraries.
RECTIFIERS = {
    *("relu", "relu6", "leakyrelu", "prelu", "rrelu", "elu", "celu", "gelu", "gelutanh"),
    *("quickgelu", "silu", "swish", "swishme", "mish", "mishme"),
    *("hardswish", "hardswishme", "hardmish", "hardmishme"),
}
GATES = {"sigmoid", "hardsigmoid"}
DROPOUTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Dropout: nn.AlphaDropout,
    nn.Dropout1d: nn.FeatureAlphaDropout,
    nn.Dropout2d: nn.FeatureAlphaDropout,
    nn.Dropout3d: nn.FeatureAlphaDropout,
}


@norms.register("self_normalizing")
class SelfNormalizing(Norm):
    """Scale and shift each channel, in a network that needs no normalisers.

    The layer alone normalises nothing. A conversion changes the whole network: activations become
    SELU, dropout becomes alpha dropout, and all convolutions and linear layers are re-initialised
    (LeCun normal, biases zero), so pretrained weights are lost. Images should be standardised.

    Args:
        num_features: channels C.
        eps: unused; every normaliser has one.
        affine: learn `weight` and `bias`.
    """

    needs: ClassVar[tuple[Need, ...]] = (Need.TRACED_GRAPH,)
    rebuilds_network: ClassVar[bool] = True

    def normalise(self, x: Tensor) -> Tensor:
        """Scale and shift x."""
        return self.affine(x)

    def evaluation_map(self, cluster_id: int | None = None) -> ChannelMap:
        """Return the layer's own map."""
        return scaling(Affine(self.weight, self.bias), self.eps, self.num_features)

    @classmethod
    def after_conversion(
        cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None
    ) -> list[str]:
        """Replace activations and dropout, and re-initialise all weights."""
        notes = [_replace_activations(model), _draw_weights(model)]
        graph = trace(model)
        if graph is None:
            return [*notes, "residual sums are unchanged, since the network cannot be traced"]
        return [*notes, *_balance_sums(model, graph), *_list_unchanged(model, graph)]


def _replace_activations(model: nn.Module) -> str:
    """Replace activations by SELU, and dropout by alpha dropout."""
    activations = dropouts = 0
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        parent, _, leaf = name.rpartition(".")
        if name and _word(layer) in RECTIFIERS:
            activations += 1
            setattr(model.get_submodule(parent), leaf, nn.SELU())
        elif name and type(layer) in DROPOUTS:
            dropouts += 1
            alpha = DROPOUTS[type(layer)](layer.p)
            setattr(model.get_submodule(parent), leaf, alpha.train(layer.training))
    return f"{activations} activations became SELU, and {dropouts} dropouts alpha dropout"


def _draw_weights(model: nn.Module) -> str:
    """Draw LeCun normal weights, with a variance of one over the inputs of a unit."""
    drawn = 0
    for layer in model.modules():
        if isinstance(layer, (_ConvNd, nn.Linear)):
            drawn += 1
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        elif isinstance(layer, SelfNormalizing) and layer.weight is not None:
            nn.init.ones_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return f"{drawn} convolutions and linear layers are re-initialised: no trained weights are left"


@torch.no_grad()
def _balance_sums(model: nn.Module, graph: fx.Graph) -> list[str]:
    """Let sums have the variance of one of their terms."""
    sums = find_sums(model, graph)
    closed = 0
    for whole in sums:
        closed += whole.has_skip
        factor = 0.0 if whole.has_skip else whole.size**-0.5
        for weight in (layer.weight for ends in whole.ends for layer in ends):
            assert isinstance(weight, Tensor)
            weight.mul_(factor)
    unknown = sum(not all(whole.ends) for whole in sums)
    counts = {"residual branches that start closed": closed, "sums that add up variances": unknown}
    return [f"{what}: {count}" for what, count in counts.items() if count]


def _list_unchanged(model: nn.Module, graph: fx.Graph) -> list[str]:
    """List the operations left in the network that change mean or variance."""
    words = [
        _word(model.get_submodule(str(node.target)))
        if node.op == "call_module"
        else called(node).replace("_", "")
        for node in graph.nodes
    ]
    counts = {
        "activations called as functions": sum(word in RECTIFIERS for word in words),
        "sigmoid gates": sum(word in GATES for word in words),
        "pools": sum("pool" in word and "adaptive" not in word for word in words),
        "other normalisers": sum("norm" in word and word != "selfnormalizing" for word in words),
    }
    texts = [f"{kind} ({count})" for kind, count in counts.items() if count]
    return [f"operations that change the moments remain: {', '.join(texts)}"] if texts else []


def _word(layer: nn.Module) -> str:
    return type(layer).__name__.lower()
