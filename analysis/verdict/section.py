"""The verdict as sections of a report."""

from collections.abc import Mapping
from pathlib import Path

from dacbn.analysis.analyses import analyses, comparisons
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.training.curves import Curves
from dacbn.analysis.verdict.opening import opening
from dacbn.analysis.verdict.verdict import gather_evidence, measure_overlaps, write_verdict
from dacbn.training import TrainConfig


@analyses.add(
    "verdict",
    order=0,
    needs=("curves", "config", "classes"),
    optional=("outputs", "scores", "recording", "run", "baseline"),
)
def draw_verdict(
    curves: Curves,
    config: TrainConfig,
    classes: tuple[str, ...],
    outputs: Mapping[str, DomainOutput] | None = None,
    scores: Scores | None = None,
    recording: Recording | None = None,
    run: Path | None = None,
    baseline: Path | None = None,
) -> Section:
    """Write the verdict on a run from its records and, if available, other results.

    Args:
        curves: the recorded quantities.
        config: the settings of the run.
        classes: class names.
        outputs: of the trained network, by domain.
        scores: of its features.
        recording: of its normalisers.
        run: its folder.
        baseline: the folder of another run to compare with.
    """
    overlaps = measure_overlaps(recording)
    evidence = gather_evidence(
        curves, config.steps, outputs or {}, classes, scores, overlaps, config
    )
    return write_verdict(evidence, () if run is None else opening(run, outputs, baseline))


@comparisons.add(
    "verdicts",
    order=30,
    needs=("curves", "configs", "classes", "outputs", "scores"),
    optional=("folders",),
)
def draw_verdicts(
    curves: Mapping[str, Curves],
    configs: Mapping[str, TrainConfig],
    classes: tuple[str, ...],
    outputs: Mapping[str, Mapping[str, DomainOutput]],
    scores: Mapping[str, Scores],
    folders: Mapping[str, Path] | None = None,
) -> list[Section]:
    """Write the verdict on each of several runs; see `draw_verdict`."""
    verdicts = {
        name: draw_verdict(
            *(curves[name], config, classes, outputs.get(name), scores.get(name)),
            run=(folders or {}).get(name),
        )
        for name, config in configs.items()
    }
    return [each._replace(title=f"Verdict: {name}") for name, each in verdicts.items()]
