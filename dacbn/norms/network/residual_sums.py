"""The sums in a network's graph: their skip connections, and the last layers of other terms."""

from collections.abc import Callable, Iterator

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from dacbn.norms.contract import Norm


class ResidualSum:
    """A sum of several activations; its terms that are sums themselves are part of it.

    Args:
        model: the network.
        node: the node of the sum in the graph.

    Attributes:
        parts: the sum's node and those of the sums that are part of it.
        size: number of terms.
        has_skip: whether one term is an input of another, as in x + f(x).
        ends: for each term that is no skip, the last layers with weights before it; empty if none
            is found.
    """

    def __init__(self, model: nn.Module, node: fx.Node) -> None:
        self.model = model
        self.parts = [node]
        terms = list(dict.fromkeys(self._terms(node)))
        above = {term: set(_walk_back(term.all_input_nodes)) for term in terms}
        skips = {
            term
            for term in terms
            if any(
                self._source_path(term)[-1] in above[other] for other in terms if other is not term
            )
        }
        self.size = len(terms)
        self.has_skip = bool(skips)
        self.ends = [self._ends(term) for term in terms if term not in skips]

    def _terms(self, node: fx.Node) -> Iterator[fx.Node]:
        for term in node.all_input_nodes:
            path = self._source_path(term)
            if is_sum(path[-1]) and all(len(node.users) == 1 for node in path):
                self.parts.append(path[-1])
                yield from self._terms(path[-1])
            elif term.op != "get_attr":  # a parameter
                yield term

    def _source_path(self, term: fx.Node) -> list[fx.Node]:
        """Follow a term back, through operations with one input, to the layer or sum before it."""
        path = [term]
        while self._layer(path[-1]) is None and not is_sum(path[-1]):
            if len(path[-1].all_input_nodes) != 1:
                break
            path += path[-1].all_input_nodes
        return path

    def _ends(self, term: fx.Node) -> list[nn.Module]:
        """Find the last normalisers of a term, or else its last convolutions and linear layers."""
        reached = _walk_back([term], lambda node: is_sum(node) or self._layer(node) is not None)
        layers = [layer for layer in map(self._layer, reached) if layer is not None]
        normalisers: list[nn.Module] = [layer for layer in layers if isinstance(layer, Norm)]
        return normalisers or [layer for layer in layers if isinstance(layer, (_ConvNd, nn.Linear))]

    def _layer(self, node: fx.Node) -> nn.Module | None:
        """Return the layer with weights that a node calls, if any."""
        if node.op != "call_module":
            return None
        layer = self.model.get_submodule(str(node.target))
        return None if next(layer.parameters(), None) is None else layer


def find_sums(model: nn.Module, graph: fx.Graph) -> list[ResidualSum]:
    """Find the sums of several activations, in the order of the graph."""
    found = [ResidualSum(model, node) for node in graph.nodes if is_sum(node)]
    inner = {part for whole in found for part in whole.parts[1:]}
    return [whole for whole in found if whole.size > 1 and whole.parts[0] not in inner]


def called(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls; empty for other nodes."""
    if node.op not in ("call_function", "call_method"):
        return ""
    return node.target if isinstance(node.target, str) else node.target.__name__


def is_sum(node: fx.Node) -> bool:
    """Whether a node is an addition, under any of its names."""
    return called(node) in ("add", "iadd", "add_")


def _walk_back(
    start: list[fx.Node], stop: Callable[[fx.Node], bool] = lambda node: False
) -> Iterator[fx.Node]:
    """Visit nodes and everything before them, but nothing before nodes for which `stop` is true."""
    waiting, seen = list(start), set()
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            yield node
            waiting += [] if stop(node) else node.all_input_nodes
