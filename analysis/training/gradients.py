"""How a network's weights are pulled by each domain: gradient norms and variances, layer by layer.

Computed from outside, in evaluation mode: weights, statistics and gradients stay as they are.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from dacbn.analysis.analyses import analyses
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    PAGE_WIDTH,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    clean,
    save_figure,
)
from dacbn.datasets import to_float

BATCHES = 8
BATCH_SIZE = 32
LISTED = 40  # layers; a longer table is not read
VANISHED = 1e-3  # of the largest norm among the layers


class Gradients(NamedTuple):
    """Of one loss, by layer in the order of the network.

    Args:
        layers: names of the L weights with at least two dimensions.
        norm: length of the mean gradient (L,).
        variance: between batches, the mean over the weights of a layer (L,).
    """

    layers: tuple[str, ...]
    norm: Floats
    variance: Floats


def compute_gradients(
    network: nn.Module,
    sample: Sample,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: int = BATCHES,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
) -> Gradients:
    """Compute the gradients of a loss on some random batches of a domain.

    Args:
        network: called as network(images, cluster_ids); left as it was.
        sample: images, and labels if the loss wants them.
        loss: from logits (B, C) and labels (B,) to a scalar; labels are zeros where there are none.
        batches: at most; at least two, or the variance is NaN.
        batch_size: images of each.
        seed: of the choice of images.

    Raises:
        ValueError: there are fewer images than one batch, or no weights to look at.
    """
    weights = {name: p for name, p in network.named_parameters() if p.ndim > 1}
    if not weights or len(sample.images) < batch_size:
        raise ValueError(
            f"gradients need weights and at least {batch_size} images, got {len(weights)} weights "
            f"and {len(sample.images)} images"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(sample.images), generator=generator)
    rows = torch.split(order[: batches * batch_size], batch_size)
    modes = [(module, module.training) for module in network.modules()]
    trained = {p: p.requires_grad for p in weights.values()}
    try:
        network.eval()
        for p in trained:
            p.requires_grad_(True)
        moments = [_Moments(p) for p in weights.values()]
        for chosen in rows:
            if len(chosen) == batch_size:
                _add(moments, _gradient(network, sample, loss, chosen, list(weights.values())))
    finally:
        for module, mode in modes:
            module.training = mode
        for p, flag in trained.items():
            p.requires_grad_(flag)
    norm, variance = np.array([each.read() for each in moments]).T
    return Gradients(tuple(weights), norm, variance)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean cross-entropy in nats of logits (B, C) and labels (B,)."""
    return F.cross_entropy(logits, labels)


def entropy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean entropy in nats of logits (B, C); it needs no labels."""
    log_probabilities = logits.log_softmax(1)
    return -(log_probabilities.exp() * log_probabilities).sum(1).mean()


class _Moments:
    """Mean and squared deviations of a tensor over batches, in one pass (Welford)."""

    def __init__(self, like: Tensor) -> None:
        self.count = 0
        self.mean = torch.zeros_like(like, requires_grad=False)
        self.deviation = torch.zeros_like(like, requires_grad=False)

    def add(self, value: Tensor) -> None:
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self.deviation += before * (value - self.mean)

    def read(self) -> tuple[float, float]:
        """Return the length of the mean, and the mean unbiased variance."""
        spread = self.deviation.mean().item() / (self.count - 1) if self.count > 1 else np.nan
        return self.mean.norm().item(), spread


def _add(moments: list[_Moments], gradients: list[Tensor]) -> None:
    for each, gradient in zip(moments, gradients, strict=True):
        each.add(gradient)


def _gradient(
    network: nn.Module,
    sample: Sample,
    loss: Callable[[Tensor, Tensor], Tensor],
    rows: Tensor,
    weights: list[nn.Parameter],
) -> list[Tensor]:
    device = weights[0].device
    images = to_float(sample.images.gather(rows).to(device))
    labels = torch.zeros_like(rows) if sample.labels is None else sample.labels[rows]
    ids = torch.full((len(rows),), sample.cluster_id, device=device)
    value = loss(network(images, ids).logits, labels.to(device))
    found = torch.autograd.grad(value, weights, allow_unused=True)
    return [
        torch.zeros_like(weight) if each is None else each
        for weight, each in zip(weights, found, strict=True)
    ]


def plot_gradients(gradients: Mapping[str, Gradients], field: str, axes: Axes) -> None:
    """Draw "norm" or "variance" of some losses over the layers, on a logarithmic scale."""
    looks: dict[str, dict[str, Any]] = {
        "source, classification": {"color": SOURCE_COLOUR, "marker": "o"},
        "source, entropy": {"color": SOURCE_COLOUR, "marker": "o", "linestyle": "--"},
        "target, entropy": {"color": TARGET_COLOUR, "marker": "^", "linestyle": "--"},
    }
    for name, each in gradients.items():
        values = getattr(each, field)
        places = np.arange(1, len(values) + 1)
        look: dict[str, Any] = {"markersize": 3, "linewidth": 1.2, **looks.get(name, {})}
        axes.semilogy(places, np.where(values > 0, values, np.nan), label=name, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


@analyses.add("gradients", place=110, needs=("subject", "folder", "seed"))
def draw_gradients(subject: Subject, folder: Path, seed: int = 0) -> Section:
    """Draw how both domains pull at a network's weights, into a folder.

    Raises:
        ValueError: there are too few images.
    """
    source, target = subject.samples["source"], subject.samples["target"]
    fewest = min(len(source.images), len(target.images))
    if fewest < 2:
        raise ValueError(f"gradients are compared over batches: {fewest} image of a domain is none")
    size = min(BATCH_SIZE, fewest // 2)
    wanted = {
        "source, classification": (source, classification_loss),
        "source, entropy": (source, entropy_loss),
        "target, entropy": (target, entropy_loss),
    }
    if source.labels is None:
        del wanted["source, classification"]
    gradients = {
        name: compute_gradients(subject.network, sample, loss, batch_size=size, seed=seed)
        for name, (sample, loss) in wanted.items()
    }
    figure = Figure(figsize=(PAGE_WIDTH, 2.5), layout="constrained")
    for axes, field in zip(figure.subplots(1, 2), ("norm", "variance"), strict=True):
        plot_gradients(gradients, field, axes)
        title = "Length of the mean gradient" if field == "norm" else "Variance between batches"
        clean(axes, "layer, from input to output", f"gradient {field}", title)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small"
    )
    arrays = {
        f"{name}/{field}": np.array(value)
        for name, each in gradients.items()
        for field, value in each._asdict().items()
    }
    caption = "How strongly, and how unsteadily, each domain's losses pull at the layers' weights."
    files = save_figure(figure, folder / "gradients", arrays, caption)
    tables = {"Length of the mean gradient, by layer": _rows(gradients)}
    return Section("Gradients", tuple(_findings(gradients)), (files[0],), tables)


def _rows(gradients: Mapping[str, Gradients]) -> list[Row]:
    layers = next(iter(gradients.values())).layers
    rows: list[Row] = []
    for place, layer in enumerate(layers if len(layers) <= LISTED else ()):
        row: Row = {"": place + 1, "layer": layer.removesuffix(".weight")}
        row |= {name: float(each.norm[place]) for name, each in gradients.items()}
        rows.append(row)
    return rows


def _findings(gradients: Mapping[str, Gradients]) -> list[str]:
    first = next(iter(gradients.values()))
    weak = [
        name
        for name, norm in zip(first.layers, first.norm, strict=True)
        if norm < VANISHED * first.norm.max()
    ]
    of_target, of_source = (
        gradients[f"{domain}, entropy"].variance.sum() for domain in ("target", "source")
    )
    ratio = of_target / of_source if of_source > 0 else np.inf
    sentences = [
        f"The entropy's gradient varies {ratio:.1f} times as much between batches of the target as "
        "of the source."
    ]
    if weak:
        named = ", ".join(weak[:3]) + (", …" if len(weak) > 3 else "")
        sentences.insert(0, f"Gradients of {len(weak)} layers nearly vanish: {named}.")
    return sentences
