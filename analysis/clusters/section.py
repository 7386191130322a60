"""What a person reads of the clusters of a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dacbn.analysis.analyses import analyses
from dacbn.analysis.clusters.agreement import Floats
from dacbn.analysis.clusters.compute import DEAD, Clusters, compute_clusters, labels_of
from dacbn.analysis.clusters.figures import (
    compute_examples,
    plot_classes,
    plot_examples,
    plot_occupancy,
    plot_overlap,
    short_names,
)
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import PAGE_WIDTH, save_figure

COLLAPSED = 0.95  # mean overlap of the components in use from which they normalise alike
TELLING = 0.05  # nats that an activation says about its cluster, from which on it has one
WEAK = 0.05  # normalised mutual information below which clusters follow nothing
SPOKEN = 6  # layers, at most, of which each has sentences of its own
DRAWN = 3  # layers, at most, that have panels of their own


@analyses.add("clusters", place=50, needs=("subject", "folder", "recording"))
def draw_clusters(subject: Subject, folder: Path, recording: Recording | None = None) -> Section:
    """Draw what the clusters of a network stand for, into a folder.

    Args:
        subject: a network with mixture layers, and images.
        folder: for the figures.
        recording: of the subject, if there is one already.

    Raises:
        ValueError: no layer has a mixture.
    """
    recording = recording or record(subject)
    clusters = compute_clusters(recording, labels_of(subject, recording), len(subject.classes))
    domains = list(recording.images)
    figures = [
        _draw_occupancy(clusters, domains, folder),
        _draw_overlap(clusters, folder),
        *_draw_examples(subject, recording, list(clusters), folder),
    ]
    if any(sample.labels is not None for sample in subject.samples.values()):
        figures.insert(1, _draw_classes(clusters, domains, subject.classes, folder))
    return Section(
        "Clusters", say_clusters(clusters), tuple(figures), {"Clusters by layer": rows_of(clusters)}
    )


def say_clusters(clusters: Mapping[str, Clusters]) -> tuple[str, ...]:
    """Put what the clusters of each layer do into sentences; many layers are counted instead."""
    near = [name for name, each in clusters.items() if alike(each) >= COLLAPSED]
    unused = [name for name, each in clusters.items() if each.dead > 0]
    if len(clusters) <= SPOKEN:
        return tuple(
            sentence for name, each in clusters.items() for sentence in _say_layer(name, each)
        )
    count = len(clusters)
    named = f": {', '.join(near[:4])}{', …' if len(near) > 4 else ''}" if near else ""
    sentences = [
        f"In {len(near)} of {count} layers the components in use overlap by at least "
        f"{_plain(COLLAPSED)}, so that they normalise nearly alike{named}."
    ]
    sentences.append(f"{len(unused)} of {count} layers have clusters that are not in use.")
    for index, kind in enumerate(("domain", "class")):
        scores = {name: each.nmi[index] for name, each in clusters.items()}
        known = {name: score for name, score in scores.items() if not np.isnan(score)}
        if known:
            best = max(known, key=lambda name: known[name])
            sentences.append(
                f"Clusters follow the {kind} with a mean NMI of "
                f"{_plain(np.mean(list(known.values())))}, most in {best} ({_plain(known[best])})."
            )
    return tuple(sentences)


def alike(clusters: Clusters) -> float:
    """Average the overlap of each two components in use; NaN where fewer than two are."""
    used = np.flatnonzero(clusters.occupancy.mean(0) >= DEAD)
    pairs = clusters.overlap[np.ix_(used, used)][np.triu_indices(len(used), 1)]
    return float(pairs.mean()) if len(pairs) else float("nan")


def rows_of(clusters: Mapping[str, Clusters]) -> list[Row]:
    """Tabulate the clusters, a row for each layer."""
    rows: list[Row] = []
    for name, each in clusters.items():
        row: Row = {
            "layer": name,
            "clusters": each.occupancy.shape[1],
            "occupancy": _slashed(each.occupancy.mean(0)),
            "not in use": f"{each.dead:.0%}",
            "effective": round(each.effective, 2),
            "entropy (nats)": round(each.entropy, 3),
            "information (nats)": round(each.information, 3),
            "overlap": _number(alike(each)),
        }
        for index, kind in enumerate(("domain", "class")):
            row[f"NMI {kind}"] = _number(each.nmi[index])
            row[f"ARI {kind}"] = _number(each.ari[index])
            row[f"NMI {kind}, activations"] = _number(each.value_nmi[index])
        rows.append(row)
    return rows


def _say_layer(name: str, each: Clusters) -> list[str]:
    groups, count = each.occupancy.shape
    overlap, shares = alike(each), _slashed(each.occupancy.mean(0))
    if groups == 1:
        used = int((each.occupancy >= DEAD).sum())
        use = f"{name}: {used} of {count} clusters are in use; occupancy {shares}."
    else:
        use = (
            f"{name}: {1 - each.dead:.0%} of the clusters, {count} in each channel, are in use; "
            f"from the lowest to the highest they hold {shares} of the activations."
        )
    sentences = [use]
    if overlap >= COLLAPSED:
        what = (
            "the mixture has collapsed to one normaliser"
            if each.information < TELLING
            else "they part the activations but normalise them nearly alike"
        )
        sentences.insert(0, f"{name}: components overlap by {_plain(overlap)}: {what}.")
    elif not np.isnan(overlap):
        sentences[0] = f"{use[:-1]}; components overlap by {_plain(overlap)}."
    return [*sentences, *_say_agreement(name, *each.nmi)]


def _say_agreement(name: str, domain: float, kind: float) -> list[str]:
    """Say what clusters follow; an agreement that could not be measured is NaN."""
    if np.isnan(domain) or np.isnan(kind):
        known = [("domain", domain), ("class", kind)]
        return [
            f"{name}: the agreement of clusters with the {word} is NMI {_plain(score)}."
            for word, score in known
            if not np.isnan(score)
        ]
    if max(domain, kind) < WEAK:
        return [
            f"{name}: clusters follow neither the domain (NMI {_plain(domain)}) nor the class "
            f"(NMI {_plain(kind)})."
        ]
    more, less = (("domain", domain), ("class", kind))[:: 1 if domain >= kind else -1]
    return [
        f"{name}: clusters follow the {more[0]} (NMI {_plain(more[1])}) more than the {less[0]} "
        f"(NMI {_plain(less[1])})."
    ]


def _draw_occupancy(clusters: Mapping[str, Clusters], domains: list[str], folder: Path) -> Path:
    height = min(7.0, 1.1 + 0.3 * len(clusters))
    figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
    places = figure.subplots(1, len(domains), sharey=True, squeeze=False)[0]
    for index, (domain, axes) in enumerate(zip(domains, places, strict=True)):
        image = plot_occupancy(clusters, index, domain, axes)
    figure.colorbar(image, ax=list(places), label="share", aspect=max(12, 2 * len(clusters)))
    arrays = {f"{name}/by_domain": each.by_domain for name, each in clusters.items()}
    arrays |= {f"{name}/hard_by_domain": each.hard_by_domain for name, each in clusters.items()}
    caption = "How the activations of each domain spread over the clusters of each layer."
    return save_figure(figure, folder / "cluster_occupancy", arrays, caption)[0]


def _draw_classes(
    clusters: Mapping[str, Clusters], domains: list[str], classes: Sequence[str], folder: Path
) -> Path:
    shown = spread_over(list(clusters), DRAWN)
    size = PAGE_WIDTH, 0.5 + 1.7 * len(shown)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(shown), len(domains), sharey=True, squeeze=False)
    for row, name in enumerate(shown):
        for column, domain in enumerate(domains):
            axes = grid[row, column]
            plot_classes(clusters[name].by_class[column], classes, f"{name}, {domain}", axes)
            axes.set_xlabel("class" if row == len(shown) - 1 else "")
            axes.set_ylabel("" if column else "share")
    most = max(shown, key=lambda name: clusters[name].by_class.shape[2])
    handles, labels = grid[shown.index(most), 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=6, frameon=False)
    arrays = {f"{name}/by_class": each.by_class for name, each in clusters.items()}
    arrays |= {f"{name}/images_by_class": each.images_by_class for name, each in clusters.items()}
    caption = "How the activations of each class spread over the clusters of some layers."
    return save_figure(figure, folder / "cluster_classes", arrays, caption)[0]


def _draw_overlap(clusters: Mapping[str, Clusters], folder: Path) -> Path:
    shown = spread_over(list(clusters), 2 * DRAWN)
    columns = min(DRAWN, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(2.3 * columns + 0.6, 2.3 * lines), layout="constrained")
    places = figure.subplots(lines, columns, squeeze=False).ravel()
    for name, label, axes in zip(shown, short_names(shown), places, strict=False):
        image = plot_overlap(clusters[name].overlap, label, axes)
    for axes in places[len(shown) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(places), label="overlap")
    arrays = {f"{name}/overlap": each.overlap for name, each in clusters.items()}
    caption = "How alike the components of each layer are: mean Bhattacharyya coefficients."
    return save_figure(figure, folder / "cluster_overlap", arrays, caption)[0]


def _draw_examples(
    subject: Subject, recording: Recording, layers: list[str], folder: Path
) -> list[Path]:
    files = []
    for word, layer in {"first": layers[0], "last": layers[-1]}.items():
        examples = compute_examples(subject, recording, layer)
        count, num_domains = len(next(iter(examples.values()))), len(examples)
        size = PAGE_WIDTH, 0.4 + count * (0.35 + 0.8 * num_domains)
        figure = Figure(figsize=size, layout="constrained")
        for cluster, axes in enumerate(figure.subplots(count, 1, squeeze=False)[:, 0]):
            plot_examples(examples, cluster, axes)
        figure.suptitle(layer, fontsize="medium")
        caption = f"The images that each cluster of {layer} is most sure of."
        stem = folder / f"cluster_examples_{word}"
        files.append(save_figure(figure, stem, examples, caption)[0])
    return files[: len(set(layers))]


def spread_over(names: list[str], at_most: int) -> list[str]:
    """Choose names evenly, the first and the last among them."""
    places = np.linspace(0, len(names) - 1, min(at_most, len(names))).round().astype(int)
    return [names[place] for place in places]


def _plain(number: float) -> str:
    """Write a number between 0 and 1 without the leading zero."""
    return f"{number:.2f}".removeprefix("0")


def _slashed(shares: Floats) -> str:
    return "/".join(map(_plain, shares))


def _number(value: float) -> str | float:
    return "" if np.isnan(value) else round(float(value), 3)
