"""Figures of embedded features: points by class and domain, and by domain alone."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dacbn.analysis.domains.embedding_axes import (
    MAX_CLASS_NAMES,
    Embedded,
    plot_by_class,
    plot_by_domain,
)
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.domains.planes import Planes, choose_outputs, start_planes
from dacbn.analysis.domains.tsne import PERPLEXITY
from dacbn.analysis.observe.outputs import DomainOutput, Floats
from dacbn.analysis.presentation.class_names import shorten
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import (
    DOMAIN_COLOURS,
    DOMAIN_MARKERS,
    PAGE_WIDTH,
    class_colours,
    save_figure,
)
from dacbn.plain_text import plain

LINE_LENGTH = 46  # letters of a title
LETTERS = 95  # of a line of the legend


def draw_embeddings(
    outputs: Mapping[str, Mapping[str, DomainOutput]],
    scores: Mapping[str, Scores],
    classes: Sequence[str],
    folder: Path,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    title: str = "Features of both domains",
    stem: str = "embedding",
    planes: Planes | None = None,
) -> Section:
    """Draw the features that networks, or layers of one, compute for the same images.

    Args:
        outputs: by network and domain (source first), of the same images.
        scores: by network, from `compute_scores`.
        classes: class names.
        folder: for the figures.
        perplexity: of t-SNE.
        seed: for choosing images, and for t-SNE.
        title: of the section.
        stem: of the files.
        planes: of these outputs, from `start_planes`; computed if None.

    Raises:
        ValueError: the sample is too small.
    """
    found = (planes or start_planes(outputs, perplexity, seed)).result()
    triples = zip(choose_outputs(outputs, seed).items(), found, strict=True)
    embedded = {name: _embed(of, plane) for (name, of), (plane, _) in triples}
    trust = {name: each for name, (_, each) in zip(outputs, found, strict=True)}
    domains = list(next(iter(outputs.values())))
    file = _draw(embedded, scores, trust, domains, classes, folder / stem)
    rows = [
        to_row(name, scores[name]) | {"trustworthiness": round(trust[name], 3)} for name in trust
    ]
    findings = tuple(
        sentence for name in outputs for sentence in _describe_scores(name, scores[name])
    )
    terms = ("t-SNE", "proxy A-distance", "silhouette", "trustworthiness")
    return Section(title, findings, (file,), {title: rows}, terms=terms)


def to_row(name: str, scores: Scores) -> Row:
    """Tabulate the scores of one network; unknown ones are empty."""
    row: Row = {"network": name}
    for field, value in scores._asdict().items():
        row[field.replace("_", " ")] = "" if np.isnan(value) else round(value, 3)
    return row


def _embed(outputs: Mapping[str, DomainOutput], plane: Floats) -> Embedded:
    labels = [each.predictions if each.labels is None else each.labels for each in outputs.values()]
    domains = np.repeat(np.arange(len(labels)), [len(each) for each in labels])
    return Embedded(plane, np.concatenate(labels), domains)


def _draw(
    embedded: Mapping[str, Embedded],
    scores: Mapping[str, Scores],
    trust: Mapping[str, float],
    domains: Sequence[str],
    classes: Sequence[str],
    stem: Path,
) -> Path:
    keys, columns = _keys(domains, classes)
    size = PAGE_WIDTH, 0.3 + 3.1 * len(embedded) + 0.18 * -(-len(keys) // columns)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(embedded), 2, squeeze=False, sharex="row", sharey="row")
    for (by_class, by_domain), (name, each) in zip(grid, embedded.items(), strict=True):
        plot_by_class(each, classes, by_class)
        plot_by_domain(each, by_domain)
        limits = _limits(each.points)  # of each network: the scale of t-SNE has no meaning
        by_class.set(xlim=limits[0], ylim=limits[1])
        by_class.set_title(fill(name, LINE_LENGTH), loc="left", fontsize="small")
        by_class.set_xlabel(_silhouettes(scores[name]), fontsize="small")
        distance = f"proxy A-distance {scores[name].proxy_distance:.2f}"
        by_domain.set_xlabel(f"{distance}, trustworthiness {trust[name]:.2f}", fontsize="small")
    figure.legend(
        handles=keys,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize="small",
    )
    arrays = {
        f"{name}/{field}": array
        for name, each in embedded.items()
        for field, array in each._asdict().items()
    }
    caption = (
        "t-SNE, on the left in the colours of the classes (predicted ones where there are no "
        "labels), on the right in those of the domains. Neighbours are meaningful, distances "
        "between groups are not. The numbers are computed from the features, not from the plane."
    )
    return save_figure(figure, stem, arrays, caption)[0]


def _limits(points: Floats) -> Floats:
    """Return the limits of a square that holds all points: (2, 2), of x and y."""
    low, high = points.min(0), points.max(0)
    half = 0.53 * (high - low).max()
    middle = (low + high) / 2
    return np.column_stack([middle - half, middle + half])


def _keys(domains: Sequence[str], classes: Sequence[str]) -> tuple[list[Line2D], int]:
    """Return a legend of domains and of classes, and in how many columns it fits."""
    dots: dict[str, Any] = {"linestyle": "", "markersize": 4}
    keys = [
        Line2D([], [], marker=marker, color=colour, label=plain(domain), **dots)
        for domain, marker, colour in zip(
            domains, cycle(DOMAIN_MARKERS), cycle(DOMAIN_COLOURS), strict=False
        )
    ]
    if len(classes) <= MAX_CLASS_NAMES:
        keys += [
            Line2D([], [], marker="s", color=colour, label=shorten(name), **dots)
            for name, colour in zip(classes, class_colours(len(classes)), strict=True)
        ]
    longest = max(len(str(key.get_label())) for key in keys)
    return keys, max(1, min(6, LETTERS // (longest + 4)))


def _silhouettes(scores: Scores) -> str:
    by_domain = {"source": scores.source_silhouette, "target": scores.target_silhouette}
    known = [f"{name} {value:z.2f}" for name, value in by_domain.items() if not np.isnan(value)]
    return f"silhouette of the classes: {', '.join(known)}" if known else ""


def _describe_scores(name: str, scores: Scores) -> list[str]:
    right = (2 + scores.proxy_distance) / 4
    sentences = [
        f"{name}: a linear classifier predicts the domain with an accuracy of {right:.0%} (proxy "
        f"A-distance {scores.proxy_distance:.2f} of 2)."
    ]
    if by_class := _silhouettes(scores):
        sentences.append(f"{name}: {by_class} (1 is perfectly separated, 0 is mixed).")
    return sentences
