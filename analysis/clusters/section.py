"""Text, tables and figures about clusters, for the report."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dacbn.analysis.analyses import analyses
from dacbn.analysis.clusters.compute import (
    DEAD,
    MAX_OVERLAP,
    Clusters,
    compute_clusters,
    labels_of,
    mean_overlap,
)
from dacbn.analysis.clusters.figures import (
    compute_examples,
    plot_classes,
    plot_examples,
    plot_occupancy,
    plot_overlap,
)
from dacbn.analysis.observe.layer_names import evenly_spaced, short_names
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.style import PAGE_WIDTH, save_figure, wrap_title

MIN_INFORMATION = 0.05  # nats; a mixture with less has collapsed
MIN_NMI = 0.05  # below it, clusters do not agree with the domain or the class
MAX_DESCRIBED = 6  # layers that have their own sentences; more are summarised
MAX_PANELS = 3  # layers that have their own panels


@analyses.add("clusters", order=50, needs=("subject", "folder", "recording"))
def draw_clusters(subject: Subject, folder: Path, recording: Recording | None = None) -> Section:
    """Draw how domains and classes use the clusters of a network, into a folder.

    Args:
        subject: a network with mixture layers, and images.
        folder: folder of the figures.
        recording: recording of the subject; made if None.

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
        figures.insert(1, _draw_classes(clusters, domains, subject, folder))
    return Section(
        "Clusters",
        describe_clusters(clusters),
        tuple(figures),
        {"Clusters by layer": to_rows(clusters)},
        terms=(
            "occupancy",
            "effective clusters",
            "entropy",
            "information",
            "overlap",
            "NMI",
            "ARI",
        ),
        folded=True,
    )


def describe_clusters(clusters: Mapping[str, Clusters]) -> tuple[str, ...]:
    """Describe the clusters of each layer in sentences; many layers are summarised instead."""
    near = [name for name, each in clusters.items() if mean_overlap(each) >= MAX_OVERLAP]
    unused = [name for name, each in clusters.items() if each.dead > 0]
    if len(clusters) <= MAX_DESCRIBED:
        return tuple(
            sentence for name, each in clusters.items() for sentence in _describe_layer(name, each)
        )
    count = len(clusters)
    named = f": {', '.join(near[:4])}{', …' if len(near) > 4 else ''}" if near else ""
    sentences = [
        f"In {len(near)} of {count} layers the components in use overlap by at least "
        f"{_plain(MAX_OVERLAP)}, so they normalise almost identically{named}."
    ]
    sentences.append(f"{len(unused)} of {count} layers have clusters that are not in use.")
    for index, kind in enumerate(("domain", "class")):
        scores = {name: each.nmi[index] for name, each in clusters.items()}
        known = {name: score for name, score in scores.items() if not np.isnan(score)}
        if known:
            best = max(known, key=lambda name: known[name])
            sentences.append(
                f"Clusters agree with the {kind} by a mean NMI of "
                f"{_plain(np.mean(list(known.values())))}; the highest is {best} "
                f"({_plain(known[best])})."
            )
    return tuple(sentences)


def to_rows(clusters: Mapping[str, Clusters]) -> list[Row]:
    """Tabulate the clusters, one row for each layer."""
    rows: list[Row] = []
    for depth, (name, each) in enumerate(clusters.items(), start=1):
        row: Row = {
            "depth": depth,
            "layer": name,
            "clusters": each.occupancy.shape[1],
            "occupancy": _slashed(each.occupancy.mean(0)),
            "not in use": f"{each.dead:.0%}",
            "effective": round(each.effective, 2),
            "entropy (nats)": round(each.entropy, 3),
            "information (nats)": round(each.information, 3),
            "overlap": _number(mean_overlap(each)),
        }
        for index, kind in enumerate(("domain", "class")):
            row[f"NMI {kind}"] = _number(each.nmi[index])
            row[f"ARI {kind}"] = _number(each.ari[index])
            row[f"NMI {kind}, activations"] = _number(each.value_nmi[index])
        rows.append(row)
    return rows


def _describe_layer(name: str, each: Clusters) -> list[str]:
    groups, count = each.occupancy.shape
    overlap, shares = mean_overlap(each), _slashed(each.occupancy.mean(0))
    if groups == 1:
        used = int((each.occupancy >= DEAD).sum())
        use = f"{name}: {used} of {count} clusters are in use; occupancy {shares}."
    else:
        use = (
            f"{name}: {1 - each.dead:.0%} of the clusters, {count} in each channel, are in use; "
            f"from the lowest to the highest, they contain {shares} of the activations."
        )
    sentences = [use]
    if overlap >= MAX_OVERLAP:
        meaning = (
            "the mixture has collapsed to a single normaliser"
            if each.information < MIN_INFORMATION
            else "they separate the activations but normalise them almost identically"
        )
        sentences.insert(0, f"{name}: components overlap by {_plain(overlap)}: {meaning}.")
    elif not np.isnan(overlap):
        sentences[0] = f"{use[:-1]}; components overlap by {_plain(overlap)}."
    return [*sentences, *_describe_agreement(name, *each.nmi)]


def _describe_agreement(name: str, domain: float, kind: float) -> list[str]:
    """Describe the agreement with domain and class; NaN is one that could not be measured."""
    if np.isnan(domain) or np.isnan(kind):
        known = [("domain", domain), ("class", kind)]
        return [
            f"{name}: the agreement of clusters with the {word} is NMI {_plain(score)}."
            for word, score in known
            if not np.isnan(score)
        ]
    if max(domain, kind) < MIN_NMI:
        return [
            f"{name}: clusters agree with neither the domain (NMI {_plain(domain)}) nor the class "
            f"(NMI {_plain(kind)})."
        ]
    more, less = (("domain", domain), ("class", kind))[:: 1 if domain >= kind else -1]
    return [
        f"{name}: clusters agree more with the {more[0]} (NMI {_plain(more[1])}) than with the "
        f"{less[0]} (NMI {_plain(less[1])})."
    ]


def _draw_occupancy(clusters: Mapping[str, Clusters], domains: list[str], folder: Path) -> Path:
    height = min(7.0, 1.1 + 0.3 * len(clusters))
    figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
    all_axes = figure.subplots(1, len(domains), sharey=True, squeeze=False)[0]
    for index, (domain, axes) in enumerate(zip(domains, all_axes, strict=True)):
        image = plot_occupancy(clusters, index, wrap_title(domain, len(domains)), axes)
    figure.colorbar(image, ax=list(all_axes), label="share", aspect=max(12, 2 * len(clusters)))
    arrays = {f"{name}/by_domain": each.by_domain for name, each in clusters.items()}
    arrays |= {f"{name}/hard_by_domain": each.hard_by_domain for name, each in clusters.items()}
    caption = "Share of the activations of each domain in each cluster, by layer."
    return save_figure(figure, folder / "cluster_occupancy", arrays, caption)[0]


def _draw_classes(
    clusters: Mapping[str, Clusters], domains: list[str], subject: Subject, folder: Path
) -> Path:
    shown = evenly_spaced(list(clusters), MAX_PANELS)
    labelled = [name for name in domains if subject.samples[name].labels is not None]
    size = PAGE_WIDTH, 1.4 + 1.5 * len(shown)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(shown), len(labelled), sharex=True, sharey=True, squeeze=False)
    for row, (name, label) in enumerate(zip(shown, short_names(shown), strict=True)):
        for column, domain in enumerate(labelled):
            axes = grid[row, column]
            title = "" if row else wrap_title(domain, len(labelled))
            shares = clusters[name].by_class[domains.index(domain)]
            plot_classes(shares, subject.classes, title, axes)
            axes.set_xlabel("class" if row == len(shown) - 1 else "")
            axes.set_ylabel("" if column else f"{label}\nshare")
    most = max(shown, key=lambda name: clusters[name].by_class.shape[2])
    handles, labels = grid[shown.index(most), 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=6, frameon=False)
    arrays = {f"{name}/by_class": each.by_class for name, each in clusters.items()}
    arrays |= {f"{name}/images_by_class": each.images_by_class for name, each in clusters.items()}
    caption = "Share of the activations of each class in each cluster, for some layers."
    return save_figure(figure, folder / "cluster_classes", arrays, caption)[0]


def _draw_overlap(clusters: Mapping[str, Clusters], folder: Path) -> Path:
    shown = evenly_spaced(list(clusters), 2 * MAX_PANELS)
    columns = min(MAX_PANELS, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(2.3 * columns + 0.6, 2.3 * lines), layout="constrained")
    all_axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for name, label, axes in zip(shown, short_names(shown), all_axes, strict=False):
        image = plot_overlap(clusters[name].overlap, label, axes)
    for axes in all_axes[len(shown) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(all_axes), label="overlap")
    arrays = {f"{name}/overlap": each.overlap for name, each in clusters.items()}
    caption = "Overlap of the components of each layer (mean Bhattacharyya coefficient)."
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
        caption = f"The images with the largest responsibilities for each cluster of {layer}."
        stem = folder / f"cluster_examples_{word}"
        files.append(save_figure(figure, stem, examples, caption)[0])
    return files[: len(set(layers))]


def _plain(number: float) -> str:
    """Write a number between 0 and 1 without the leading zero."""
    return f"{number:.2f}".removeprefix("0")


def _slashed(shares: Floats) -> str:
    return "/".join(map(_plain, shares))


def _number(value: float) -> str | float:
    return "" if np.isnan(value) else round(float(value), 3)
