"""Sections with embeddings: before and after training, of chosen layers, of several runs."""

from collections.abc import Mapping
from pathlib import Path

from dacbn.analysis.analyses import analyses, comparisons
from dacbn.analysis.domains.embedding_figures import draw_embeddings
from dacbn.analysis.domains.embedding_meanwhile import Embedding, start_embedding
from dacbn.analysis.domains.embeddings import Scores, compute_scores
from dacbn.analysis.domains.planes import choose_rows
from dacbn.analysis.domains.touchable import can_be_touched, draw_touchable
from dacbn.analysis.observe.outputs import DomainOutput, outputs_at
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.section import Section
from dacbn.spelling import spell

MAX_RUNS = 4  # in one figure


@analyses.add(
    "features",
    order=20,
    needs=("subject", "outputs", "scores", "folder", "seed"),
    optional=("untrained", "embedding"),
    meanwhile=True,
)
def draw_features(
    subject: Subject,
    outputs: Mapping[str, DomainOutput],
    scores: Scores,
    folder: Path,
    seed: int = 0,
    untrained: Subject | None = None,
    embedding: Embedding | None = None,
) -> Section:
    """Draw the features of a network before and after training in one embedding, into a folder.

    Args:
        subject: the trained network.
        outputs: of the trained network, by domain.
        scores: of these outputs.
        folder: for the figures.
        seed: for choosing images, and for t-SNE.
        untrained: the network before training, if it is known.
        embedding: of the features of both networks; computed if None.

    Raises:
        ValueError: the sample is too small.
    """
    embedding = embedding or start_embedding(outputs, subject, untrained, seed)
    scores_by_network = {subject.name: scores}
    if untrained is not None:
        scores_by_network[untrained.name] = compute_scores(embedding.outputs[untrained.name], seed)
    section = draw_embeddings(
        *(embedding.outputs, scores_by_network, subject.classes, folder),
        seed=seed,
        planes=embedding.planes,
    )
    if not can_be_touched():
        return section
    points = section.arrays["embedding"][f"{subject.name}/points"]
    plot = draw_touchable(points, choose_rows(outputs, seed), subject, outputs)
    return section._replace(plot=plot)


@analyses.add(
    "chosen layers",
    order=120,
    needs=("layers", "outputs", "recording", "classes", "folder", "seed"),
)
def draw_layers(
    layers: tuple[str, ...],
    outputs: Mapping[str, DomainOutput],
    recording: Recording,
    classes: tuple[str, ...],
    folder: Path,
    seed: int = 0,
) -> Section:
    """Draw the outputs of chosen layers in one embedding, into a folder.

    Args:
        layers: names of normalisers, or patterns.
        outputs: of the network, by domain.
        recording: of the normalisers.
        classes: class names.
        folder: for the figures.
        seed: for choosing images, and for t-SNE.

    Raises:
        ValueError: there are no such layers.
    """
    if not layers:
        raise ValueError(f"no layers are chosen: name some by {spell('layers')}")
    by_layer = outputs_at(layers, outputs, recording)
    scores = {name: compute_scores(each, seed) for name, each in by_layer.items()}
    title, stem = "Activations after chosen layers", "embedding_layers"
    return draw_embeddings(by_layer, scores, classes, folder, seed=seed, title=title, stem=stem)


@comparisons.add("features", order=20, needs=("outputs", "scores", "classes", "folder", "seed"))
def draw_features_of_runs(
    outputs: Mapping[str, Mapping[str, DomainOutput]],
    scores: Mapping[str, Scores],
    classes: tuple[str, ...],
    folder: Path,
    seed: int = 0,
) -> Section:
    """Draw the features of several runs in one embedding, into a folder.

    Raises:
        ValueError: there are no features of any run.
    """
    shown = {name: outputs[name] for name in list(scores)[:MAX_RUNS]}
    if not shown:
        raise ValueError("no run has features of the same images")
    return draw_embeddings(shown, scores, classes, folder, seed=seed)
