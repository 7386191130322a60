"""Time each normaliser, forward and backward, compared with torch's BatchNorm."""

from collections.abc import Callable, Iterable
from dataclasses import asdict

import torch
from torch import Tensor, nn

from dacbn.benchmarks.memory import peak_bytes
from dacbn.benchmarks.published_layer import PublishedLayer
from dacbn.benchmarks.relative_error import relative_error
from dacbn.benchmarks.timing import time_candidates
from dacbn.norms import norms, share_context

SHAPES = ((64, 64, 32, 32), (64, 256, 8, 8), (256, 512))
# Of the published layer, whose loop with 8 clusters keeps 293 times its input: 4.9 GB for all.
PARTS_OF_SHAPES = tuple((images // 8, *rest) for images, *rest in SHAPES)
# Enough values to keep a large GPU busy: the first stage of a ResNet on ImageNet.
LARGE_SHAPES = ((256, 64, 56, 56),)
CLUSTERS = (1, 2, 3, 4, 8)
SPECS = ("group_norm", "layer_norm", *(f"ucb_norm(num_clusters={k})" for k in CLUSTERS))

Row = dict[str, object]


def benchmark_layers(
    specs: Iterable[str],
    shapes: Iterable[tuple[int, ...]] = SHAPES,
    rounds: int = 9,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    published: Iterable[int] = (),
) -> list[Row]:
    """Time layers in training mode, forward and backward, after checking their results.

    Args:
        specs: normalisers by name, optionally with options.
        shapes: shapes of the activations.
        rounds: how often each is timed, alternating with the others.
        device: cpu or cuda.
        dtype: dtype of the activations.
        channels_last: use this memory format for 4-D activations.
        published: numbers of clusters for which to time a substitute for the published layer too.

    Returns:
        one row per shape and layer: seconds, quartiles, ratio to torch's BatchNorm, the peak
        memory over the size of the activations, and the largest error relative to float64. The
        substitute has no error: its copy in float64 would not fit in memory.
    """
    rows: list[Row] = []
    for shape in shapes:
        x = torch.randn(shape, device=device, dtype=dtype).mul_(1.5).add_(0.5)
        if channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        x.requires_grad_()
        batch_norm = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
        layers: dict[str, nn.Module] = {"torch BatchNorm": batch_norm(shape[1])}
        layers |= {str(spec): norms.build(spec, shape[1]) for spec in specs}
        errors = {name: relative_error(layer.to(device), x) for name, layer in layers.items()}
        layers |= {f"published layer, K={k}": PublishedLayer(shape[1], k) for k in published}
        runs = {name: step_of(layer.to(device), x) for name, layer in layers.items()}
        timings = time_candidates(runs, rounds, device=device, title=str(shape))
        for name, timing in timings.items():
            memory = peak_bytes(runs[name], device) / (x.numel() * x.element_size())
            results = {"memory": memory, "error": errors.get(name)}
            rows.append({"shape": shape, "layer": name, **asdict(timing), **results})
    return rows


def step_of(layer: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return a forward and backward pass; cluster-aware layers get the ids of two domains."""
    context, ids = share_context(layer), torch.arange(len(x), device=x.device) % 2
    gradient = torch.randn_like(x)
    wanted = [x, *layer.parameters()]

    def run() -> None:
        with context.bind(ids):
            y = layer(x)
        torch.autograd.grad(y, wanted, gradient, allow_unused=True)

    return run
