"""Record the inputs and outputs of normalisers by hooks, in bounded memory.

Images are chosen first, and each passes once. For each image, every layer keeps the mean over
positions, a few positions drawn at random, and the assignments of its mixture, if it has one. The
network is left unchanged.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from inspect import signature

import torch
from torch import Tensor, nn

from dacbn.analysis.observe.assignments import (
    MAX_CHANNELS,
    FindsClusters,
    assign_images,
    choose_channels,
    mixture_of,
)
from dacbn.analysis.observe.recording import (
    Activations,
    Recording,
    empty_activations,
    plan_recording,
)
from dacbn.analysis.observe.subject import Subject
from dacbn.batch import domain_ids
from dacbn.datasets import to_float
from dacbn.norms import frozen_statistics, modes_kept
from dacbn.norms.contract import is_normaliser
from dacbn.progress import Progress

MAX_IMAGES = 1000  # of each domain
MAX_BYTES = 768 * 2**20  # of a recording, all layers and domains together

Hook = Callable[[str, nn.Module, Tensor, Tensor], None]


def record(
    subject: Subject,
    layers: str = "*",
    images: int = MAX_IMAGES,
    seed: int = 0,
    budget: int = MAX_BYTES,
    batch_size: int = 64,
) -> Recording:
    """Pass images of each domain through a network and record its normalisers.

    If a layer runs twice in a forward pass, the first run is recorded.

    Args:
        subject: its network runs in evaluation mode, on its device.
        layers: pattern of the names of normalisers.
        images: of each domain, at most; fewer if they do not fit the budget.
        seed: for choosing images and positions.
        budget: bytes of the recording, at most.
        batch_size: images at a time.

    Raises:
        ValueError: no layer matches, there are no images, or the budget is too small.

    Example:
        >>> from dacbn.analysis.observe.subject import Sample
        >>> from dacbn.datasets import TensorImages
        >>> from dacbn.models import create_network
        >>> images = TensorImages(torch.zeros(6, 3, 32, 32, dtype=torch.uint8))
        >>> samples = {"source": Sample(images, 0), "target": Sample(images, 1)}
        >>> network = create_network("digits_cnn", "ucb_norm(num_clusters=2)", num_classes=2)
        >>> recording = record(Subject("example", network, samples, ("a", "b")))
        >>> list(recording.mixtures)
        ['backbone.layers.2', 'backbone.layers.6']
    """
    counts = {domain: len(sample.images) for domain, sample in subject.samples.items()}
    if not counts or min(counts.values()) == 0:
        raise ValueError("there are no images to record: give samples of at least one domain")
    found = find_normalisers(subject.network, layers)
    generator = torch.Generator().manual_seed(seed)
    with _evaluating(subject.network), torch.no_grad():
        shapes = _find_shapes(subject, found)
        modules = {name: found[name] for name in shapes}
        most = min(images, max(counts.values()))
        at_most, positions = plan_recording(modules, shapes, len(counts), most, budget)
        chosen = {
            domain: torch.randperm(count, generator=generator)[:at_most]
            for domain, count in counts.items()
        }
        kept: dict[str, dict[str, Activations]] = {name: {} for name in modules}
        total = sum(map(len, chosen.values()))
        with Progress(total, "image", "recording") as progress:
            for domain, rows in chosen.items():
                for name, module in modules.items():
                    kept[name][domain] = empty_activations(
                        module, *shapes[name], len(rows), positions
                    )
                activations = {name: domains[domain] for name, domains in kept.items()}
                for index, batch in enumerate(torch.split(rows, batch_size)):
                    start = index * batch_size
                    _record_batch(subject, domain, batch, start, modules, activations, generator)
                    progress.update(len(batch))
    mixtures = {name: mixture_of(module) for name, module in modules.items()}
    return Recording(
        chosen,
        kept,
        {name: mixture for name, mixture in mixtures.items() if mixture is not None},
        tuple(name for name in found if name not in modules),
    )


def find_normalisers(network: nn.Module, pattern: str = "*") -> dict[str, nn.Module]:
    """Find the normalisers whose names match a pattern; of nested ones, the outer.

    Raises:
        ValueError: no name matches; the text lists the known names.
    """
    found: dict[str, nn.Module] = {}
    for name, layer in network.named_modules():
        if is_normaliser(layer) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = layer
    if not found:
        raise ValueError(f"{type(network).__name__} has no normaliser to analyse")
    chosen = {name: layer for name, layer in found.items() if fnmatch(name, pattern)}
    if not chosen:
        raise ValueError(f"no normaliser is named like {pattern!r}; there are: {', '.join(found)}")
    return chosen


@contextmanager
def hooked(modules: dict[str, nn.Module], hook: Hook) -> Iterator[None]:
    """Call `hook` with the input and output of each module inside a `with` block.

    Args:
        modules: by name.
        hook: called with the name, the module, its input and its output, each time it runs.
    """

    def hook_for(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: hook(name, module, inputs[0], output)

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(hook_for(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and restore modes and running statistics afterwards."""
    with modes_kept(network), frozen_statistics(network):
        network.eval()
        yield


def _run_network(subject: Subject, domain: str, rows: Tensor) -> None:
    sample, network = subject.samples[domain], subject.network
    images = to_float(sample.images.gather(rows).to(subject.device))
    if "cluster_ids" in signature(network.forward).parameters:
        network(images, domain_ids(len(rows), sample.cluster_id, subject.device))
    else:
        network(images)


def _find_shapes(subject: Subject, modules: dict[str, nn.Module]) -> dict[str, tuple[int, int]]:
    """Return the channels and positions (C, L) of layers that run on whole images, in order."""
    shapes: dict[str, tuple[int, int]] = {}

    def keep_shape(name: str, module: nn.Module, x: Tensor, _: Tensor) -> None:
        if len(x) == len(rows):
            shape = _channels_first(module, x).shape
            shapes.setdefault(name, (shape[1], shape[2]))

    domain = next(iter(subject.samples))
    rows = torch.arange(2) % len(subject.samples[domain].images)
    with hooked(modules, keep_shape):
        _run_network(subject, domain, rows)
    return shapes


def _record_batch(
    subject: Subject,
    domain: str,
    rows: Tensor,
    start: int,
    modules: dict[str, nn.Module],
    activations: dict[str, Activations],
    generator: torch.Generator,
) -> None:
    """Run a batch, and store the activations of its images from row `start` on."""
    recorded = set()

    def store(name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
        if name not in recorded:
            recorded.add(name)
            x, y = (_channels_first(module, value).float() for value in (x, y))
            span = slice(start, start + len(rows))
            _store(activations[name], span, module, x, y, generator)

    with hooked(modules, store):
        _run_network(subject, domain, rows)


def _store(
    kept: Activations,
    span: slice,
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    generator: torch.Generator,
) -> None:
    """Store activations before and after a layer, (N, C, L) each, in some rows of a recording."""
    some = torch.randperm(x.shape[2], generator=generator)[: kept.inputs.shape[1]].to(x.device)
    kept.inputs[span] = x[:, :, some].mT.cpu()
    kept.outputs[span] = y[:, :, some].mT.cpu()
    kept.pooled_inputs[span] = x.mean(2).cpu()
    kept.pooled_outputs[span] = y.mean(2).cpu()
    if kept.assigned is not None and isinstance(module, FindsClusters):
        channels = choose_channels(x.shape[1], MAX_CHANNELS).to(x.device)
        for rows, value in zip(kept.assigned, assign_images(module, x, channels), strict=True):
            rows[span] = value.cpu()


def _channels_first(layer: nn.Module, x: Tensor) -> Tensor:
    """View activations as (N, C, L); LayerNorm has its channels last, except LayerNorm2d."""
    flat = isinstance(layer, (nn.LayerNorm, nn.RMSNorm)) and not type(layer).__name__.endswith("2d")
    if flat and x.ndim > 2:
        x = x.movedim(-1, 1)
    return x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
