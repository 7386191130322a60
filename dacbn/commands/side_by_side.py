"""Several runs side by side."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from dacbn.adapter import DomainAdapter
from dacbn.analysis.domains.embedding_figures import draw_embeddings
from dacbn.analysis.domains.embeddings import compute_scores
from dacbn.analysis.observe.outputs import compute_outputs
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.report.section import Section
from dacbn.analysis.report.settings import label_runs
from dacbn.analysis.training.curves import Curves, compute_curves
from dacbn.analysis.verdict.comparison import compute_comparison, draw_comparison, measure_agreement
from dacbn.analysis.verdict.verdict import gather_evidence, write_verdict
from dacbn.commands.attempts import attempt
from dacbn.commands.subjects import open_run, read_samples
from dacbn.training import Role, RunFolderError, TrainConfig, read_records

T = TypeVar("T")
R = TypeVar("R")

MOST_EMBEDDED = 4  # runs, in one figure


def put_side_by_side(
    runs: tuple[Path, ...],
    folder: Path,
    images: int,
    seed: int,
    data_root: Path | None,
    device: str,
) -> list[Section]:
    """Compare runs; the table comes first.

    Args:
        runs: run folders.
        folder: for the figures.
        images: of each domain, at most.
        seed: of their choice.
        data_root: folder of the named datasets, if it has moved.
        device: cpu, cuda, or auto.

    Raises:
        RunFolderError: a folder holds no run, or it has no records.
    """
    adapters = {str(run): open_run(run, data_root) for run in runs}
    labels = label_runs({run: each.config for run, each in adapters.items()})
    configs = {labels[run]: each.config for run, each in adapters.items()}
    curves = {labels[str(run)]: _read_curves(run) for run in runs}
    subjects = _read_subjects(adapters, labels, images, seed, device)
    outputs = {name: compute_outputs(subject) for name, subject in subjects.items()}
    scores = _attempt_each("distance of the domains", outputs, partial(compute_scores, seed=seed))
    follow = partial(measure_agreement, seed=seed)
    rows = compute_comparison(curves, configs, scores, _attempt_each("clusters", subjects, follow))
    sections = [draw_comparison(curves, rows, folder)]
    classes = next(iter(adapters.values())).classes
    if shown := {name: outputs[name] for name in list(scores)[:MOST_EMBEDDED]}:
        draw = partial(draw_embeddings, shown, scores, classes, folder, seed=seed)
        sections += [section for section in [attempt("features", draw)] if section is not None]
    for name, config in configs.items():
        of, score = outputs.get(name, {}), scores.get(name)
        verdict = write_verdict(gather_evidence(curves[name], config.steps, of, classes, score))
        sections.append(verdict._replace(title=f"Verdict: {name}"))
    return sections


def _read_subjects(
    adapters: Mapping[str, DomainAdapter],
    labels: Mapping[str, str],
    images: int,
    seed: int,
    device: str,
) -> dict[str, Subject]:
    """Load all networks, and the same images for each; none, with a warning, if one is missing."""
    first = next(iter(adapters.values()))
    try:
        _check_same({labels[run]: each.config for run, each in adapters.items()})
        samples = read_samples(first, images, seed)
        networks = {run: DomainAdapter.from_pretrained(run, device).network for run in adapters}
    except (ValueError, OSError) as error:  # they may have moved since
        warnings.warn(f"cannot show the images: {error}", stacklevel=2)
        return {}
    return {
        labels[run]: Subject(labels[run], network, samples, first.classes)
        for run, network in networks.items()
    }


def _attempt_each(what: str, things: Mapping[str, T], do: Callable[[T], R]) -> dict[str, R]:
    """Do something for every run, and leave out those for which it does not apply."""
    attempts = {
        name: attempt(f"{what}, {name}", partial(do, thing)) for name, thing in things.items()
    }
    return {name: done for name, done in attempts.items() if done is not None}


def _read_curves(run: Path) -> Curves:
    records = read_records(run)
    if not records:
        raise RunFolderError(f"{run} has no records yet: it ended before its first log")
    return compute_curves(records)


def _check_same(configs: dict[str, TrainConfig]) -> None:
    first = next(iter(configs.values()))
    for name, config in configs.items():
        same = config.names(Role.IMAGES)
        if other := [field for field in same if getattr(config, field) != getattr(first, field)]:
            raise ValueError(f"{name} has another {', '.join(other)}: its images cannot be shared")
