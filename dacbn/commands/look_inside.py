"""All analyses that apply to one run."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from dacbn.adapter import DomainAdapter
from dacbn.analysis.clusters.section import draw_clusters
from dacbn.analysis.domains.distances import draw_distances
from dacbn.analysis.domains.distributions import draw_distributions
from dacbn.analysis.domains.embedding_figures import draw_embeddings
from dacbn.analysis.domains.embeddings import Scores, compute_scores
from dacbn.analysis.domains.views import draw_views
from dacbn.analysis.mixtures.movement import draw_movement
from dacbn.analysis.mixtures.section import draw_mixtures
from dacbn.analysis.observe.outputs import DomainOutput, compute_outputs, outputs_at
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.predictions.calibration import draw_calibration
from dacbn.analysis.predictions.predictions import draw_predictions
from dacbn.analysis.report.section import Section
from dacbn.analysis.training.curves import compute_curves, draw_curves
from dacbn.analysis.training.gradients import draw_gradients
from dacbn.analysis.verdict.verdict import gather_evidence, measure_overlaps, write_verdict
from dacbn.commands.attempts import attempt
from dacbn.commands.subjects import open_run, read_samples, read_shown, read_untrained
from dacbn.datasets import Family, choose_family
from dacbn.training import TrainConfig, read_records

SHEET = 12  # images of each domain that show what training sees


def look_inside(
    run: Path,
    folder: Path,
    images: int,
    seed: int,
    data_root: Path | None,
    device: str,
    layers: tuple[str, ...] = (),
) -> list[Section]:
    """Draw all that applies to a run into a folder; the verdict comes first.

    Args:
        run: a run folder.
        folder: for the figures.
        images: of each domain, at most.
        seed: of their choice.
        data_root: folder of the named datasets, if it has moved.
        device: cpu, cuda, or auto.
        layers: normalisers whose outputs to embed, by name or pattern.

    Raises:
        ValueError: no layer has such a name.
        RunFolderError: there is no run, or it has no records.
    """
    adapter = open_run(run, data_root)
    config = adapter.config
    sections: list[Section | None] = [draw_curves(run, folder)]
    measured = Measured()
    try:
        samples, shown = read_samples(adapter, images, seed), read_shown(adapter, SHEET, seed)
        sections.append(draw_views(shown, _family(config), folder))
        network = DomainAdapter.from_pretrained(run, device).network
    except (ValueError, OSError) as error:  # they may have moved since
        warnings.warn(f"cannot show the images: {error}", stacklevel=2)
    else:
        subject = Subject("trained", network, samples, adapter.classes)
        measured = _measure(subject, seed)
        sections += _draw(subject, measured, run, config, folder, seed)
        if layers and measured.recording is not None:
            sections.append(_draw_layers(layers, measured, adapter.classes, folder, seed))
    curves, overlaps = compute_curves(read_records(run)), measure_overlaps(measured.recording)
    outputs, scores = measured.outputs, measured.scores
    evidence = gather_evidence(curves, config.steps, outputs, adapter.classes, scores, overlaps)
    return [write_verdict(evidence), *(section for section in sections if section is not None)]


class Measured(NamedTuple):
    """What several analyses of a network look at; what could not be had is empty or None."""

    outputs: Mapping[str, DomainOutput] = MappingProxyType({})
    scores: Scores | None = None
    recording: Recording | None = None


def _measure(subject: Subject, seed: int) -> Measured:
    outputs = compute_outputs(subject)
    return Measured(
        outputs,
        attempt("distance of the domains", lambda: compute_scores(outputs, seed)),
        attempt("recording of the normalisers", lambda: record(subject, seed=seed)),
    )


def _draw(
    subject: Subject, measured: Measured, run: Path, config: TrainConfig, folder: Path, seed: int
) -> list[Section | None]:
    """Draw all that applies, what people ask for first."""
    outputs, recording = measured.outputs, measured.recording
    drawings: dict[str, Callable[[], Section]] = {
        "predictions": lambda: draw_predictions(outputs, subject.classes, folder)
    }
    if measured.scores is not None:
        drawings["features"] = lambda: _draw_features(subject, measured, config, folder, seed)
    if recording is not None:
        drawings |= {
            "clusters": lambda: draw_clusters(subject, folder, recording),
            "movement of the clusters": lambda: draw_movement(run, folder),
            "mixtures": lambda: draw_mixtures(subject, folder, recording),
            "distributions": lambda: draw_distributions(subject, folder, recording),
            "distances by layer": lambda: draw_distances(subject, folder, recording),
        }
    drawings["calibration"] = lambda: draw_calibration(outputs, folder)
    drawings["gradients"] = lambda: draw_gradients(subject, folder, seed)
    return [attempt(name, draw) for name, draw in drawings.items()]


def _draw_features(
    subject: Subject, measured: Measured, config: TrainConfig, folder: Path, seed: int
) -> Section:
    """Draw the features before and after the training in one embedding."""
    assert measured.scores is not None
    outputs, scores = {subject.name: measured.outputs}, {subject.name: measured.scores}
    try:
        before = read_untrained(subject, config)
    except (ValueError, OSError) as error:
        print(f"features before training: left out: {error}")
    else:
        outputs = {before.name: compute_outputs(before), **outputs}
        scores[before.name] = compute_scores(outputs[before.name], seed)
    return draw_embeddings(outputs, scores, subject.classes, folder, seed=seed)


def _draw_layers(
    layers: tuple[str, ...],
    measured: Measured,
    classes: tuple[str, ...],
    folder: Path,
    seed: int,
) -> Section:
    """Draw the outputs of chosen layers in one embedding."""
    assert measured.recording is not None
    outputs = outputs_at(layers, measured.outputs, measured.recording)
    scores = {name: compute_scores(each, seed) for name, each in outputs.items()}
    title, stem = "Activations after chosen layers", "embedding_layers"
    return draw_embeddings(outputs, scores, classes, folder, seed=seed, title=title, stem=stem)


def _family(config: TrainConfig) -> Family:
    if config.augment == "auto":
        return choose_family(config.source, config.target)
    return config.augment
