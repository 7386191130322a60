"""Mixtures on several processes, in cases that a walk over all normalisers does not have."""

import copy
from types import SimpleNamespace

import torch
from layers_on_processes import distances, run, summed
from shared_gate_network import SHARED, TwoStages
from torch import nn
from torch.utils.checkpoint import checkpoint

from dacbn.models import convert_norms
from dacbn.norms import UCBNorm, frozen_statistics
from dacbn.norms.mixture.kernels import choose
from dacbn.processes import by_rows, current, sharing
from dacbn.processes.rows import taken
from dacbn.processes.share import running, share_out

WAYS = [
    {"assign": assign, "update": update}
    for assign in ("channel", "position", "sample")
    for update in ("em", "hybrid")
]
PARTS = [(5, 2), (1,)]


class Around(nn.Module):
    """Runs a function around a layer."""

    def __init__(self, layer, call):
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x):
        """Run it."""
        return self.call(self.layer, x)


def layer_of(num_features=6, **options):
    torch.manual_seed(0)
    layer = UCBNorm(num_features, num_clusters=2, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def draw(parts, *shape):
    torch.manual_seed(1)
    return torch.randn(sum(parts), *shape) * 2 + 1


def inherited(parts, options):
    """Start on the statistics of a trained BatchNorm, and part the components on a batch."""
    layer, batch_norm = layer_of(**options), nn.BatchNorm2d(6)
    batch_norm(draw((9, 3), 6, 3, 4) + 3)
    with torch.no_grad():
        layer.load_batch_norm(batch_norm)
    return layer, draw(parts, 6, 3, 4)


def apart(parts, options):
    """Have rows of one component on the first process and those of the other on the second."""
    x = draw(parts, 6, 3, 4)
    for start, stop in share_out(parts, 2).bounds[0]:
        x[start:stop] += 30
    return layer_of(**options), x


def laid_out(parts, options):
    def call(layer, x):
        return layer(x.contiguous(memory_format=torch.channels_last))

    return Around(layer_of(**options), call), draw(parts, 6, 3, 4)


def frozen(parts, options):
    def call(layer, x):
        with frozen_statistics(layer):
            return layer(x)

    layer = layer_of(**options)
    layer(draw(parts, 6, 3, 4) * 0.5)
    return Around(layer, call), draw(parts, 6, 3, 4)


def recomputed(parts, options):
    """Compute the second of two layers again in the backward pass."""

    def call(layers, x):
        return checkpoint(layers[1], layers[0](x).tanh(), use_reentrant=False)

    layers = nn.ModuleList([layer_of(**options), layer_of(**options)])
    return Around(layers, call), draw(parts, 6, 3, 4)


def sharing_a_gate(parts, options):
    """Let the first of two layers assign for both."""
    torch.manual_seed(5)
    model = TwoStages()
    convert_norms(model, SHARED, num_clusters=2)
    return model, draw(parts, 3, 3, 4)


def likely(parts, options):
    """Return the negative log-likelihood as if it were the output."""

    def call(layer, x):
        return layer(x) + layer.nll(x)

    return Around(layer_of(**options), call), draw(parts, 6, 3, 4)


EM = [options for options in WAYS if options["update"] == "em"]
CASES = {
    inherited: WAYS,
    apart: EM,
    laid_out: EM,
    frozen: EM,
    recomputed: WAYS,
    sharing_a_gate: EM[:1],
    likely: WAYS[1::2],
}


def walk(rank, cases=CASES):
    """Return how far processes are from one, of their type or float64, by case and type."""
    far = {}
    for case, ways in cases.items():
        for options in ways:
            for parts in PARTS:
                layer, x = case(parts, options)
                one = {}
                for dtype in (torch.float32, torch.float64):
                    with sharing(None):
                        alone = copy.deepcopy(layer).to(dtype)
                        one[dtype] = run(alone, x.to(dtype), torch.zeros(len(x)), parts)
                for dtype in one:
                    several = copy.deepcopy(layer).to(dtype)
                    found = run(several, x.to(dtype), torch.zeros(len(x)), parts)
                    name = f"{case.__name__} {tuple(options.values())} {parts}"
                    # float32 of one process rounds by up to 1e-5 itself, the other way perhaps
                    references = one[dtype], one[torch.float64]
                    far[name, dtype] = min(
                        max(distances(found, wanted).values()) for wanted in references
                    )
    return far


def plain_walk(rank):
    """The same without compiled code."""
    choose.find_kernels = lambda *_: "not wanted"
    return walk(rank, {case: WAYS[1:2] for case in (apart, laid_out, recomputed)})


def in_half(rank):
    """Return the largest difference in half precision, by type and assignment."""
    far = {}
    for dtype in (torch.bfloat16, torch.float16):
        for options in WAYS:

            def call(layer, x, dtype=dtype):
                return layer(x.to(dtype)).float()

            layer, x = Around(layer_of(**options), call), draw((5, 2), 6, 3, 4)
            one = copy.deepcopy(layer)
            found = run(layer, x, torch.zeros(len(x)), (5, 2))
            with sharing(None):
                wanted = run(one, x, torch.zeros(len(x)), (5, 2))
            far[dtype, options["assign"]] = max(distances(found, wanted).values())
    return far


def second_derivatives(rank):
    """Return how far the gradient of a gradient's square is from that of one process."""
    far = {}
    for options in WAYS:
        for count in (7, 1):
            layer = layer_of(**options).double()
            x = draw((count,), 6, 3, 4).double()
            rows, results = share_out((count,), 2), []
            for share in (None, current()):
                each = copy.deepcopy(layer)
                own = x if share is None else taken(x, rows, rank)
                own = own.clone().requires_grad_()
                with sharing(share), running(None if share is None else rows):
                    y = each(own)
                (first,) = torch.autograd.grad(y.sin().sum(), own, create_graph=True)
                first.square().sum().backward()
                gradients = {name: value.grad for name, value in each.named_parameters()}
                if share is not None:
                    gradients = {name: summed(value) for name, value in gradients.items()}
                found = own.grad if share is not None else taken(own.grad, rows, rank)
                results.append(gradients | {"x": found})
            wanted, found = results
            wanted = {name: value for name, value in wanted.items() if value.numel()}
            far[options["assign"], options["update"], count] = max(
                distances(found, wanted).values(), default=0.0
            )
    return far


def exchanges(rank):
    """Count the exchanges of a layer's forward and backward pass, by assignment and type."""
    import dacbn.processes.sums as sums

    counts, done = {}, SimpleNamespace(number=0)
    exchange = sums._sum

    def counted(*arguments):
        done.number += 1
        return exchange(*arguments)

    sums._sum = counted
    for options in WAYS:
        layer = layer_of(**options)
        for _ in range(2):  # the first starts the components
            x = draw((4, 4), 6, 3, 4).requires_grad_()
            done.number = 0
            y = by_rows(layer, x)
            forward, done.number = done.number, 0
            y.sin().sum().backward()
        counts[tuple(options.values())] = forward, done.number
    sums._sum = exchange
    return counts


def everything(rank):
    """Return the results of all functions here, by their names."""
    return {
        function.__name__: function(rank)
        for function in (in_half, second_derivatives, exchanges, walk, plain_walk)
    }
