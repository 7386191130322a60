"""Where the prediction for a Kalman-normalised layer comes from: the network before it.

What a normaliser puts out has moments known from its parameters, whatever the data. So the moments
of what reaches the next one are a function of the parameters on the way alone, and are computed
when they are needed: nothing is handed from layer to layer during a forward pass.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.norms.contract import Norm
from dacbn.norms.network.moment_propagation import (
    Moments,
    added,
    concatenated,
    elementwise_moments,
    layer_moments,
    normalised_moments,
    relu_moments,
)

# torch's functions, methods and operators, by name, that leave the moments as they are …
KEEPING = ("contiguous", "dropout", "flatten", "max_pool1d", "max_pool2d", "max_pool3d")
# … or treat every value by itself.
ELEMENTWISE = (
    *("celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish"),
    *("relu6", "selu", "sigmoid", "silu", "softplus", "tanh"),
)


class Step(NamedTuple):
    """One operation of a network.

    Attributes:
        name: of its result.
        kind: "images", "layer", "add", "cat", "keep", the name of an elementwise function, or
            "unknown".
        target: the name of its layer.
        inputs: the names of the results it takes.
    """

    name: str
    kind: str
    target: str
    inputs: tuple[str, ...]


class MomentGraph:
    """The operations that lead to each of a network's normalisers.

    Layers are held by their names in the network: a copy of the network has its own, one exchanged
    later counts, and none is registered a second time. The network's images are taken as
    standardised: every channel has mean 0 and variance 1.

    Args:
        model: the network.
        graph: its trace.
    """

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.model = model
        self.paths: dict[str, list[Step]] = {}
        order = {node: index for index, node in enumerate(graph.nodes)}
        images = next(node for node in graph.nodes if node.op == "placeholder")
        used = [str(node.target) for node in graph.nodes if node.op == "call_module"]
        for node in graph.nodes:
            # a layer that is used twice has two different inputs
            if self._is_norm(node) and used.count(str(node.target)) == 1:
                nodes = sorted(self._before(node), key=order.__getitem__)
                self.paths[str(node.target)] = [_step(one, images) for one in nodes]

    def predict(self, name: str, like: Tensor) -> Moments | None:
        """Compute the moments of what reaches the normaliser of that name; None if unknown.

        Args:
            name: in the network.
            like: a tensor whose device and dtype the moments should have.
        """
        results: dict[str, Moments | None] = {}
        last = None
        for step in self.paths.get(name, []):
            last = results[step.name] = self._moments(step, results, like)
        return last

    def _moments(
        self, step: Step, results: dict[str, Moments | None], like: Tensor
    ) -> Moments | None:
        if step.kind == "images":
            return like.new_zeros(1), like.new_ones(1)
        layer = self.model.get_submodule(step.target) if step.kind == "layer" else None
        if isinstance(layer, (Norm, _BatchNorm)):
            return normalised_moments(layer, like)
        inputs: list[Moments] = []
        for name in step.inputs:
            moments = results[name]
            if moments is None:
                return None
            inputs.append(moments)
        if not inputs:
            return None
        return _apply(step.kind, inputs) if layer is None else layer_moments(layer, inputs[0])

    def _is_norm(self, node: fx.Node) -> bool:
        if node.op != "call_module":
            return False
        return isinstance(self.model.get_submodule(str(node.target)), (Norm, _BatchNorm))

    def _before(self, norm: fx.Node) -> set[fx.Node]:
        """Find all nodes on the ways to a normaliser from those before it, and from the images."""
        found: set[fx.Node] = set()
        waiting = list(norm.all_input_nodes)
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += [] if self._is_norm(node) else node.all_input_nodes
        return found


def _apply(kind: str, inputs: list[Moments]) -> Moments | None:
    if kind == "add":
        return added(inputs)
    if kind == "cat":
        return concatenated(inputs)
    if kind == "keep":
        return inputs[0]
    if kind == "relu":
        return relu_moments(*inputs[0])
    if kind in ELEMENTWISE:
        return elementwise_moments(getattr(F, kind, None) or getattr(torch, kind), *inputs[0])
    return None


def _step(node: fx.Node, images: fx.Node) -> Step:
    if node is images:
        return Step(node.name, "images", "", ())
    if node.op == "call_module":
        inputs = tuple(source.name for source in node.all_input_nodes)
        return Step(node.name, "layer", str(node.target), inputs)
    kind, sources = _read(node) if node.op.startswith("call") else ("unknown", ())
    names = tuple(source.name for source in sources if isinstance(source, fx.Node))
    return Step(node.name, kind if len(names) == len(sources) else "unknown", "", names)


def _read(node: fx.Node) -> tuple[str, tuple[object, ...]]:
    """Say what a function does and what it takes, in so far as that is clear."""
    name = str(getattr(node.target, "__name__", node.target)).rstrip("_")
    first, *others = node.args or (None,)
    options = dict(node.kwargs)
    if name in ("add", "iadd") and len(others) == 1 and not options:
        return "add", (first, others[0])
    if name in ("cat", "concat") and [*others, *options.values()] == [1]:
        return "cat", tuple(first) if isinstance(first, (list, tuple)) else ()
    if name in KEEPING or (name in ("view", "reshape") and others[1:] == [-1]):
        return "keep", (first,)
    if name in ("relu", *ELEMENTWISE) and not others and set(options) <= {"inplace"}:
        return name, (first,)
    return "unknown", ()
