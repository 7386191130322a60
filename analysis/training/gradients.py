"""Gradients of the losses of each domain: norms and variances, layer by layer.

The network runs in evaluation mode; weights, statistics and gradients are left unchanged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from dacbn.analysis.observe.sides import is_source
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    PAGE_WIDTH,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    label_axes,
    save_figure,
)
from dacbn.batch import domain_ids
from dacbn.datasets import to_float
from dacbn.losses import entropy
from dacbn.norms import modes_kept

BATCHES = 8
BATCH_SIZE = 32
MAX_ROWS = 40  # layers of the table; with more there is none
VANISHING = 1e-3  # of the largest norm among the layers


class Gradients(NamedTuple):
    """Gradients of one loss, by layer in the order of the network.

    Attributes:
        layers: names of the L weights with at least two dimensions.
        norm: of the mean gradient (L,).
        variance: between batches, averaged over the weights of a layer (L,).
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
        network: called as network(images, cluster_ids); left unchanged.
        sample: images, with labels if the loss needs them.
        loss: maps logits (B, C) and labels (B,) to a scalar; without labels, it gets zeros.
        batches: number of batches, at most; with fewer than two, the variance is NaN.
        batch_size: images of each batch.
        seed: for choosing images.

    Raises:
        ValueError: there are fewer images than one batch, or no weights.
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
    moments = [_WelfordMoments(p) for p in weights.values()]
    with modes_kept(network), _requiring_grad(weights.values()):
        network.eval()
        for chosen in rows:
            if len(chosen) == batch_size:
                _add(moments, _gradient(network, sample, loss, chosen, list(weights.values())))
    norm, variance = np.array([each.read() for each in moments]).T
    return Gradients(tuple(weights), norm, variance)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean cross-entropy in nats of logits (B, C) and labels (B,)."""
    return F.cross_entropy(logits, labels)


def entropy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean entropy in nats of logits (B, C); the labels are ignored."""
    return entropy(logits).mean()


@contextmanager
def _requiring_grad(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Let weights require gradients in a `with` block."""
    before = {weight: weight.requires_grad for weight in weights}
    try:
        for weight in before:
            weight.requires_grad_(True)
        yield
    finally:
        for weight, flag in before.items():
            weight.requires_grad_(flag)


class _WelfordMoments:
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
        """Return the norm of the mean, and the mean unbiased variance."""
        variance = self.deviation.mean().item() / (self.count - 1) if self.count > 1 else np.nan
        return self.mean.norm().item(), variance


def _add(moments: list[_WelfordMoments], gradients: list[Tensor]) -> None:
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
    ids = domain_ids(len(rows), sample.cluster_id, device)
    value = loss(network(images, ids).logits, labels.to(device))
    found = torch.autograd.grad(value, weights, allow_unused=True)
    return [
        torch.zeros_like(weight) if each is None else each
        for weight, each in zip(weights, found, strict=True)
    ]


def plot_gradients(gradients: Mapping[str, Gradients], field: str, axes: Axes) -> None:
    """Draw "norm" or "variance" of the gradients of losses over the layers, on a log scale."""
    looks: dict[str, dict[str, Any]] = {
        "source, classification": {"color": SOURCE_COLOUR, "marker": "o"},
        "source, entropy": {"color": SOURCE_COLOUR, "marker": "o", "linestyle": "--"},
        "target, entropy": {"color": TARGET_COLOUR, "marker": "^", "linestyle": "--"},
    }
    for name, each in gradients.items():
        values = getattr(each, field)
        positions = np.arange(1, len(values) + 1)
        look: dict[str, Any] = {"markersize": 3, "linewidth": 1.2, **looks.get(name, {})}
        axes.semilogy(positions, np.where(values > 0, values, np.nan), label=name, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


@analyses.add("gradients", order=110, needs=("subject", "folder", "seed"))
def draw_gradients(subject: Subject, folder: Path, seed: int = 0) -> Section:
    """Draw the gradients of the losses of both domains, into a folder.

    Raises:
        ValueError: there are too few images.
    """
    fewest = min(len(sample.images) for sample in subject.samples.values())
    if fewest < 2:
        raise ValueError(
            f"gradients of batches need at least 2 images of each domain, got {fewest}"
        )
    size = min(BATCH_SIZE, fewest // 2)
    wanted = {
        f"{domain}, {word}": (sample, loss)
        for domain, sample in subject.samples.items()
        for word, loss in (("classification", classification_loss), ("entropy", entropy_loss))
        if word == "entropy" or (is_source(domain) and sample.labels is not None)
    }
    gradients = {
        name: compute_gradients(subject.network, sample, loss, batch_size=size, seed=seed)
        for name, (sample, loss) in wanted.items()
    }
    figure = Figure(figsize=(PAGE_WIDTH, 2.5), layout="constrained")
    for axes, field in zip(figure.subplots(1, 2), ("norm", "variance"), strict=True):
        plot_gradients(gradients, field, axes)
        title = "Norm of the mean gradient" if field == "norm" else "Variance between batches"
        label_axes(axes, "layer, from input to output", f"gradient {field}", title)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        *(handles, labels),
        loc="outside lower center",
        ncols=3 if len(labels) <= 3 else 2,  # names of several domains are long
        frameon=False,
        fontsize="small",
    )
    arrays = {
        f"{name}/{field}": np.array(value)
        for name, each in gradients.items()
        for field, value in each._asdict().items()
    }
    caption = "Norms and variances of the gradients of the losses of each domain, by layer."
    files = save_figure(figure, folder / "gradients", arrays, caption)
    tables = {"Norm of the mean gradient, by layer": _to_rows(gradients)}
    sentences, terms = tuple(_findings(gradients)), ("norm", "variance")
    return Section("Gradients", sentences, (files[0],), tables, terms=terms, folded=True)


def _to_rows(gradients: Mapping[str, Gradients]) -> list[Row]:
    layers = next(iter(gradients.values())).layers
    rows: list[Row] = []
    for index, layer in enumerate(layers if len(layers) <= MAX_ROWS else ()):
        row: Row = {"": index + 1, "layer": layer.removesuffix(".weight")}
        row |= {name: float(each.norm[index]) for name, each in gradients.items()}
        rows.append(row)
    return rows


def _findings(gradients: Mapping[str, Gradients]) -> list[str]:
    first = next(iter(gradients.values()))
    weak = [
        name
        for name, norm in zip(first.layers, first.norm, strict=True)
        if norm < VANISHING * first.norm.max()
    ]
    of_target, of_source = (
        [
            each.variance.sum()
            for name, each in gradients.items()
            if name.endswith(", entropy") and is_source(name.partition(",")[0]) == source
        ]
        for source in (False, True)
    )
    sentences = []
    if of_target and of_source:
        ratio = np.mean(of_target) / np.mean(of_source) if np.mean(of_source) > 0 else np.inf
        sentences.append(
            f"The variance of the entropy's gradient between batches is {ratio:.1f} times as large "
            "on the target as on the source."
        )
    if weak:
        named = ", ".join(weak[:3]) + (", …" if len(weak) > 3 else "")
        sentences.insert(0, f"The gradients of {len(weak)} layers nearly vanish: {named}.")
    return sentences
