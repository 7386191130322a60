"""Predictions for Kalman-normalised layers from the operations of the network before them.

The moments of a normaliser's output are known from its parameters, for any data. So the moments of
the next normaliser's input depend on the parameters in between only, and are computed when needed:
layers pass nothing to each other during a forward pass.
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

# Names of torch's functions, methods and operators that keep the moments …
KEEPING = ("contiguous", "dropout", "flatten", "max_pool1d", "max_pool2d", "max_pool3d")
# … or are elementwise.
ELEMENTWISE = (
    *("celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish"),
    *("relu6", "selu", "sigmoid", "silu", "softplus", "tanh"),
)


class Operation(NamedTuple):
    """One operation of a network.

    Attributes:
        name: of its result.
        kind: "images", "layer", "add", "cat", "keep", the name of an elementwise function, or
            "unknown".
        target: name of its layer in the network; empty if it is no layer.
        inputs: names of the results that it takes.
    """

    name: str
    kind: str
    target: str
    inputs: tuple[str, ...]


class MomentGraph:
    """The operations that lead to each of a network's normalisers.

    Layers are stored by name: a copy of the network uses its own layers, a layer that is replaced
    later is found, and no layer is registered twice. Images are assumed to be standardised: every
    channel has mean 0 and variance 1.

    Args:
        model: the network.
        graph: its trace.
    """

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.model = model
        self.paths: dict[str, list[Operation]] = {}
        order = {node: index for index, node in enumerate(graph.nodes)}
        images = next(node for node in graph.nodes if node.op == "placeholder")
        used = [str(node.target) for node in graph.nodes if node.op == "call_module"]
        for node in graph.nodes:
            # a layer that is called twice has two different inputs
            if self._is_norm(node) and used.count(str(node.target)) == 1:
                nodes = sorted(self._before(node), key=order.__getitem__)
                self.paths[str(node.target)] = [_operation(one, images) for one in nodes]

    def predict(self, name: str, like: Tensor) -> Moments | None:
        """Compute the moments of a normaliser's input; None if unknown.

        Args:
            name: of the normaliser in the network.
            like: a tensor with the device and dtype of the result.
        """
        results: dict[str, Moments | None] = {}
        last = None
        for operation in self.paths.get(name, []):
            last = results[operation.name] = self._moments(operation, results, like)
        return last

    def _moments(
        self, operation: Operation, results: dict[str, Moments | None], like: Tensor
    ) -> Moments | None:
        if operation.kind == "images":
            return like.new_zeros(1), like.new_ones(1)
        layer = self.model.get_submodule(operation.target) if operation.kind == "layer" else None
        if isinstance(layer, (Norm, _BatchNorm)):
            return normalised_moments(layer, like)
        inputs: list[Moments] = []
        for name in operation.inputs:
            if name not in results:
                raise RuntimeError(
                    f"{operation.target or name} was a normaliser when kalman_norm was linked to "
                    "it: freeze statistics by dacbn.norms.set_statistics, which keeps the layers"
                )
            moments = results[name]
            if moments is None:
                return None
            inputs.append(moments)
        if not inputs:
            return None
        return _apply(operation.kind, inputs) if layer is None else layer_moments(layer, inputs[0])

    def _is_norm(self, node: fx.Node) -> bool:
        if node.op != "call_module":
            return False
        return isinstance(self.model.get_submodule(str(node.target)), (Norm, _BatchNorm))

    def _before(self, norm: fx.Node) -> set[fx.Node]:
        """Find all nodes on paths to a normaliser from the normalisers before it or the images."""
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


def _operation(node: fx.Node, images: fx.Node) -> Operation:
    if node is images:
        return Operation(node.name, "images", "", ())
    if node.op == "call_module":
        inputs = tuple(source.name for source in node.all_input_nodes)
        return Operation(node.name, "layer", str(node.target), inputs)
    kind, sources = _read(node) if node.op.startswith("call") else ("unknown", ())
    names = tuple(source.name for source in sources if isinstance(source, fx.Node))
    return Operation(node.name, kind if len(names) == len(sources) else "unknown", "", names)


def _read(node: fx.Node) -> tuple[str, tuple[object, ...]]:
    """Return the kind of a function call and its inputs; "unknown" if they are not clear."""
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
