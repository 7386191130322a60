"""Recording what goes into and comes out of normalisers, from outside and in bounded memory.

Images are chosen first and pass once. Of each, every layer keeps the mean over positions, a few
positions drawn at random, and how its mixture, if it has one, assigns the image. The network is
left as it was.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from inspect import signature

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from tqdm import tqdm

from dacbn.analysis.observe.assignments import CHANNELS, assign_images, mixture_of, some_channels
from dacbn.analysis.observe.recording import Activations, Recording, blank, plan
from dacbn.analysis.observe.subject import Subject
from dacbn.datasets import to_float
from dacbn.norms import Norm, frozen_statistics

IMAGES = 1000  # of each domain, at most
BUDGET = 768 * 2**20  # bytes of a recording, all layers and domains together

See = Callable[[str, nn.Module, Tensor, Tensor], None]


def record(
    subject: Subject,
    layers: str = "*",
    images: int = IMAGES,
    seed: int = 0,
    budget: int = BUDGET,
    batch_size: int = 64,
) -> Recording:
    """Pass images of each domain through a network and keep what its normalisers do.

    Of a layer that runs twice in a forward pass, the first time counts.

    Args:
        subject: its network runs in evaluation mode, on its device.
        layers: pattern of the names of normalisers.
        images: of each domain, at most; fewer where `budget` does not suffice.
        seed: of the choice of images and positions.
        budget: bytes of the recording.
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
        raise ValueError("there are no images to look at: give samples of at least one domain")
    found = find_normalisers(subject.network, layers)
    generator = torch.Generator().manual_seed(seed)
    with _undisturbed(subject.network), torch.no_grad():
        shapes = _probe(subject, found)
        modules = {name: found[name] for name in shapes}
        most = min(images, max(counts.values()))
        at_most, positions = plan(modules, shapes, len(counts), most, budget)
        chosen = {
            domain: torch.randperm(count, generator=generator)[:at_most]
            for domain, count in counts.items()
        }
        kept: dict[str, dict[str, Activations]] = {name: {} for name in modules}
        total = sum(map(len, chosen.values()))
        with tqdm(total=total, unit="image", desc="recording", leave=False, disable=None) as bar:
            for domain, rows in chosen.items():
                for name, module in modules.items():
                    kept[name][domain] = blank(module, *shapes[name], len(rows), positions)
                tapes = {name: domains[domain] for name, domains in kept.items()}
                for place, batch in enumerate(torch.split(rows, batch_size)):
                    _play(subject, domain, batch, place * batch_size, modules, tapes, generator)
                    bar.update(len(batch))
    mixtures = {name: mixture_of(module) for name, module in modules.items()}
    return Recording(
        chosen,
        kept,
        {name: mixture for name, mixture in mixtures.items() if mixture is not None},
        tuple(name for name in found if name not in modules),
    )


def find_normalisers(network: nn.Module, pattern: str = "*") -> dict[str, nn.Module]:
    """Find the normalisers whose names match a pattern; of one inside another, the outer.

    Raises:
        ValueError: none does; the text lists those there are.
    """
    kinds = (Norm, _NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    found: dict[str, nn.Module] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, kinds) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = layer
    if not found:
        raise ValueError(f"{type(network).__name__} has no normaliser to look at")
    chosen = {name: layer for name, layer in found.items() if fnmatch(name, pattern)}
    if not chosen:
        raise ValueError(f"no normaliser is named like {pattern!r}; there are: {', '.join(found)}")
    return chosen


@contextmanager
def watch(modules: dict[str, nn.Module], see: See) -> Iterator[None]:
    """Show what goes into and comes out of modules within a `with` block.

    Args:
        modules: by name.
        see: called with the name, the module, its input and its output at every call of it.
    """

    def hook_of(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: see(name, module, inputs[0], output)

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(hook_of(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _undisturbed(network: nn.Module) -> Iterator[None]:
    """Run a network in evaluation mode; modes and running statistics are as before after it."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        with frozen_statistics(network):
            network.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _run(subject: Subject, domain: str, rows: Tensor) -> None:
    sample, network = subject.samples[domain], subject.network
    images = to_float(sample.images.gather(rows).to(subject.device))
    if "cluster_ids" in signature(network.forward).parameters:
        network(images, torch.full((len(rows),), sample.cluster_id, device=subject.device))
    else:
        network(images)


def _probe(subject: Subject, modules: dict[str, nn.Module]) -> dict[str, tuple[int, int]]:
    """Find the channels and positions (C, L) of the layers that run on whole images, in order."""
    shapes: dict[str, tuple[int, int]] = {}

    def see(name: str, module: nn.Module, x: Tensor, _: Tensor) -> None:
        if len(x) == len(rows):
            shape = _channels_first(module, x).shape
            shapes.setdefault(name, (shape[1], shape[2]))

    domain = next(iter(subject.samples))
    rows = torch.arange(2) % len(subject.samples[domain].images)
    with watch(modules, see):
        _run(subject, domain, rows)
    return shapes


def _play(
    subject: Subject,
    domain: str,
    rows: Tensor,
    start: int,
    modules: dict[str, nn.Module],
    tapes: dict[str, Activations],
    generator: torch.Generator,
) -> None:
    """Pass a batch and write what is seen onto the tapes from place `start` on."""
    seen = set()

    def see(name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
        if name not in seen:
            seen.add(name)
            x, y = (_channels_first(module, value).float() for value in (x, y))
            _write(tapes[name], slice(start, start + len(rows)), module, x, y, generator)

    with watch(modules, see):
        _run(subject, domain, rows)


def _write(
    tape: Activations,
    place: slice,
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    generator: torch.Generator,
) -> None:
    """Keep of activations before and after a layer, (N, C, L) each, what `Activations` holds."""
    some = torch.randperm(x.shape[2], generator=generator)[: tape.inputs.shape[1]].to(x.device)
    tape.inputs[place] = x[:, :, some].mT.cpu()
    tape.outputs[place] = y[:, :, some].mT.cpu()
    tape.pooled_inputs[place] = x.mean(2).cpu()
    tape.pooled_outputs[place] = y.mean(2).cpu()
    if tape.assigned is not None and isinstance(module, Norm):
        channels = some_channels(x.shape[1], CHANNELS).to(x.device)
        for kept, seen in zip(tape.assigned, assign_images(module, x, channels), strict=True):
            kept[place] = seen.cpu()


def _channels_first(layer: nn.Module, x: Tensor) -> Tensor:
    """View activations as (N, C, L); LayerNorm has its channels last, but for images."""
    flat = isinstance(layer, (nn.LayerNorm, nn.RMSNorm)) and not type(layer).__name__.endswith("2d")
    if flat and x.ndim > 2:
        x = x.movedim(-1, 1)
    return x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
