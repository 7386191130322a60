"""The graph of a network's layers and functions."""

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from dacbn.norms.contract import Norm


class _LayerTracer(fx.Tracer):
    """Trace down to layers; a normaliser is one layer, even if it has submodules."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether to treat a module as one layer."""
        whole = isinstance(module, (Norm, _BatchNorm)) or next(module.children(), None) is None
        return whole or super().is_leaf_module(module, name)


def trace(model: nn.Module) -> fx.Graph | None:
    """Trace a network into a graph of layers and functions; None if it cannot be traced."""
    try:
        return _LayerTracer().trace(model)
    except Exception:
        return None  # a forward may depend on values, and then raises any error when traced


def feeding_layers(model: nn.Module, names: list[str]) -> list[str]:
    """Find the convolutions and linear layers directly before normalisers.

    If the network cannot be traced, these are the layers registered directly before a normaliser.

    Args:
        model: the network.
        names: names of its normalisers.

    Returns:
        the names of the layers, each once.
    """
    graph = trace(model)
    if graph is None:
        return _registered_before(model, names)
    targets = {name: model.get_submodule(name) for name in names}
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.op == "call_module" and node.target in targets:
            found.update(dict.fromkeys(_walk_back(model, node)))
    return list(found)


def _walk_back(model: nn.Module, norm: fx.Node) -> list[str]:
    """Search back from a normaliser, through layers without weights, for layers with weights."""
    found, waiting, seen = [], list(norm.all_input_nodes), set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module":
            layer = model.get_submodule(str(node.target))
            if isinstance(layer, (_ConvNd, nn.Linear)):
                found.append(str(node.target))
            normalises = isinstance(layer, (Norm, _BatchNorm))
            if normalises or next(layer.parameters(), None) is not None:
                continue
        waiting += node.all_input_nodes
    return found


def _registered_before(model: nn.Module, names: list[str]) -> list[str]:
    found, last = [], None
    for name, layer in model.named_modules():
        if isinstance(layer, (_ConvNd, nn.Linear)):
            last = name
        elif name in names and last is not None:
            found.append(last)
            last = None
    return found
