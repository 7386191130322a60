"""All analyses that apply to one run."""

import warnings
from pathlib import Path

from dacbn.adapter import DomainAdapter
from dacbn.analysis.calibration import draw_calibration
from dacbn.analysis.cluster_section import draw_clusters
from dacbn.analysis.curves import compute_curves, draw_curves
from dacbn.analysis.distances import draw_distances
from dacbn.analysis.distributions import draw_distributions
from dacbn.analysis.embedding_figures import draw_embeddings
from dacbn.analysis.embeddings import Scores, compute_scores
from dacbn.analysis.gradients import draw_gradients
from dacbn.analysis.mixture_section import draw_mixtures
from dacbn.analysis.movement import draw_movement
from dacbn.analysis.outputs import DomainOutput, compute_outputs
from dacbn.analysis.predictions import draw_predictions
from dacbn.analysis.recorder import record
from dacbn.analysis.section import Section
from dacbn.analysis.subject import Subject
from dacbn.analysis.verdict import gather_evidence, write_verdict
from dacbn.analysis.views import draw_views
from dacbn.commands.attempts import attempt
from dacbn.commands.subjects import open_run, read_samples, read_shown, read_untrained
from dacbn.datasets import Family, choose_family
from dacbn.training import TrainConfig, read_records

SHEET = 12  # images of each domain that show what training sees
Outputs = dict[str, DomainOutput]


def look_inside(
    run: Path, folder: Path, images: int, seed: int, data_root: Path | None, device: str
) -> list[Section]:
    """Draw all that applies to a run into a folder; the verdict comes first.

    Args:
        run: a run folder.
        folder: for the figures.
        images: of each domain, at most.
        seed: of their choice.
        data_root: folder of the named datasets, if it has moved.
        device: cpu, cuda, or auto.

    Raises:
        RunFolderError: there is no run, or it has no records.
    """
    adapter = open_run(run, data_root)
    config = adapter.config
    sections: list[Section | None] = [draw_curves(run, folder)]
    outputs: Outputs = {}
    scores = None
    try:
        samples, shown = read_samples(adapter, images, seed), read_shown(adapter, SHEET, seed)
        sections.append(draw_views(shown, _family(config), folder))
        network = DomainAdapter.from_pretrained(run, device).network
    except (ValueError, OSError) as error:  # they may have moved since
        warnings.warn(f"cannot show the images: {error}", stacklevel=2)
    else:
        subject = Subject("trained", network, samples, adapter.classes)
        outputs = compute_outputs(subject)
        scores = attempt("distance of the domains", lambda: compute_scores(outputs, seed))
        sections += draw_outputs(subject, config, outputs, scores, folder, seed)
        sections += draw_layers(subject, run, folder, seed)
    curves = compute_curves(read_records(run))
    verdict = write_verdict(gather_evidence(curves, config.steps, outputs, scores))
    return [verdict, *(section for section in sections if section is not None)]


def draw_outputs(
    subject: Subject,
    config: TrainConfig,
    outputs: Outputs,
    scores: Scores | None,
    folder: Path,
    seed: int,
) -> list[Section | None]:
    """Draw what a network says of the images; what does not apply is None."""
    drawings = {
        "predictions": lambda: draw_predictions(outputs, subject.classes, folder),
        "calibration": lambda: draw_calibration(outputs, folder),
        "gradients": lambda: draw_gradients(subject, folder, seed),
    }
    drawn = [attempt(name, draw) for name, draw in drawings.items()]
    if scores is not None:
        drawn.append(_draw_features(subject, config, outputs, scores, folder, seed))
    return drawn


def draw_layers(subject: Subject, run: Path, folder: Path, seed: int) -> list[Section | None]:
    """Draw what the normalisers of a network do; what does not apply is None."""
    recording = attempt("recording of the normalisers", lambda: record(subject, seed=seed))
    if recording is None:
        return []
    drawings = {
        "clusters": lambda: draw_clusters(subject, folder, recording),
        "movement of the clusters": lambda: draw_movement(run, folder),
        "mixtures": lambda: draw_mixtures(subject, folder, recording),
        "distributions": lambda: draw_distributions(subject, folder, recording),
        "distances by layer": lambda: draw_distances(subject, folder, recording),
    }
    return [attempt(name, draw) for name, draw in drawings.items()]


def _draw_features(
    subject: Subject,
    config: TrainConfig,
    outputs: Outputs,
    scores: Scores,
    folder: Path,
    seed: int,
) -> Section | None:
    """Draw the features before and after the training in one embedding."""
    of, known = {subject.name: outputs}, {subject.name: scores}
    try:
        before = read_untrained(subject, config)
    except (ValueError, OSError) as error:
        print(f"features before training: left out: {error}")
    else:
        earlier = compute_outputs(before)
        of = {before.name: earlier, **of}
        known[before.name] = compute_scores(earlier, seed)
    draw = lambda: draw_embeddings(of, known, subject.classes, folder, seed=seed)  # noqa: E731
    return attempt("features", draw)


def _family(config: TrainConfig) -> Family:
    if config.augment == "auto":
        return choose_family(config.source, config.target)
    return config.augment
