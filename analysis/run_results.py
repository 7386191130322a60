"""Results of one run, or of several, shared by analyses: each is computed once, on first use.

What draws is imported when it is needed: before that, the embedding begins in another process.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from dacbn.analysis.domains.embedding_meanwhile import Embedding, start_embedding
from dacbn.analysis.domains.tsne import MANY, get_ready
from dacbn.analysis.helping_process import start
from dacbn.analysis.observe.outputs import DomainOutput, compute_outputs
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.run_folder import (
    build_untrained,
    load_network,
    open_run,
    read_samples,
    read_training_images,
)
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.progress import WriteLine, try_analysis
from dacbn.datasets import Family, Images, choose_family
from dacbn.training import Role, RunFolderError, RunInfo, TrainConfig, read_records

if TYPE_CHECKING:
    from dacbn.analysis.domains.embeddings import Scores
    from dacbn.analysis.training.curves import Curves

T = TypeVar("T")
R = TypeVar("R")

SHEET = 12  # training images of each domain that are shown


class ReportOptions(NamedTuple):
    """Options of a report.

    Attributes:
        folder: for the figures.
        images: of each domain, at most.
        seed: for choosing images, and for t-SNE.
        layers: normalisers whose outputs to embed, by name or pattern.
        device: cpu, cuda, or auto.
        against: a run folder whose answers to the same images are compared.
    """

    folder: Path
    images: int
    seed: int
    layers: tuple[str, ...]
    device: str
    against: Path | None = None


class RunResults:
    """Results of one run that several analyses share.

    A result that cannot be computed is None; the reason is written or warned once.

    Args:
        run: the run folder.
        info: its settings.
        options: options of the report.
        write: called with lines on what was computed.
        name: the name of the trained network in figures.
    """

    def __init__(
        self,
        run: Path,
        info: RunInfo,
        options: ReportOptions,
        write: WriteLine,
        name: str = "trained",
    ) -> None:
        self.run, self.config, self.classes = run, info.config, info.classes
        self.folder, self.seed, self.layers = options.folder, options.seed, options.layers
        self.baseline = options.against
        self._info, self._options, self._write, self._name = info, options, write, name

    @cached_property
    def curves(self) -> "Curves":
        """The recorded quantities.

        Raises:
            RunFolderError: there are no records.
        """
        from dacbn.analysis.training.curves import compute_curves

        records = read_records(self.run)
        if not records:
            raise RunFolderError(f"{self.run} has no records yet: it ended before its first log")
        return compute_curves(records)

    @property
    def family(self) -> Family:
        """The kind of images, which decides how they are augmented."""
        if self.config.augment == "auto":
            return choose_family(*self.config.source, *self.config.target)
        return self.config.augment

    @cached_property
    def samples(self) -> dict[str, Sample] | None:
        """Test images by domain."""
        samples = _read(lambda: read_samples(self._info, self._options.images, self.seed))
        if sum(len(each.images) for each in (samples or {}).values()) >= MANY:
            start(get_ready)  # the first work of another process, which takes a second to start
        return samples

    @cached_property
    def training_images(self) -> dict[str, Images] | None:
        """A few training images, by a title for each domain."""
        if self.samples is None:  # the reason is the same
            return None
        return _read(lambda: read_training_images(self._info, SHEET, self.seed))

    @cached_property
    def subject(self) -> Subject | None:
        """The trained network with the test images."""
        samples = self.samples
        if samples is None:
            return None
        network = _read(lambda: load_network(self.run, self._info, self._options.device))
        return None if network is None else Subject(self._name, network, samples, self.classes)

    @cached_property
    def outputs(self) -> dict[str, DomainOutput] | None:
        """Outputs of the network for the test images, by domain."""
        return self._try("outputs", compute_outputs, self.subject)

    @cached_property
    def against(self) -> tuple[str, dict[str, DomainOutput]] | tuple[()] | None:
        """The name of the run that is compared, and its outputs; empty where none is named."""
        run, subject = self._options.against, self.subject
        if run is None:
            return ()
        outputs = _read(lambda: self._outputs_of(run)) if subject is not None else None
        return None if outputs is None else (str(run), outputs)

    def _outputs_of(self, run: Path) -> dict[str, DomainOutput]:
        """Compute the outputs of another run for the same images."""
        subject, other = self.subject, open_run(run)
        assert subject is not None
        moved = replace(other.config, data_root=self.config.data_root)
        _check_same({str(self.run): self.config, str(run): moved})
        if other.classes != self.classes:
            raise ValueError(f"{run} has other classes: its answers cannot be compared")
        network = load_network(run, other, self._options.device)
        return compute_outputs(replace(subject, network=network))

    @cached_property
    def scores(self) -> "Scores | None":
        """Numbers that describe the features."""
        from dacbn.analysis.domains.embeddings import compute_scores

        compute = partial(compute_scores, seed=self.seed)
        return self._try("distance of the domains", compute, self.outputs)

    @cached_property
    def recording(self) -> Recording | None:
        """Inputs and outputs of the normalisers."""
        compute = partial(record, seed=self.seed)
        return self._try("recording of the normalisers", compute, self.subject)

    @cached_property
    def untrained(self) -> Subject | None:
        """The network before training, with the same images."""
        build = partial(build_untrained, info=self._info)
        return self._try("network before training", build, self.subject)

    @cached_property
    def embedding(self) -> Embedding | None:
        """The features before and after training in the plane, which another process computes."""
        if self.subject is None or self.outputs is None:
            return None
        return start_embedding(self.outputs, self.subject, self.untrained, self.seed)

    def _try(self, name: str, compute: Callable[[T], R], needed: T | None) -> R | None:
        if needed is None:
            return None
        return try_analysis(name, partial(compute, needed), self._write)


class ComparedResults:
    """Results of several runs that analyses share, by the names of the runs.

    Runs for which a result cannot be computed are left out of it.

    Args:
        runs: results of each run, by name.
        options: options of the report.
        write: called with lines on what was computed.
    """

    def __init__(
        self, runs: Mapping[str, RunResults], options: ReportOptions, write: WriteLine
    ) -> None:
        self._runs, self._write = runs, write
        self.folder, self.seed = options.folder, options.seed
        self.configs = {name: each.config for name, each in runs.items()}
        self.folders = {name: each.run for name, each in runs.items()}
        self.classes = next(iter(runs.values())).classes

    @cached_property
    def curves(self) -> "dict[str, Curves]":
        """The recorded quantities of each run.

        Raises:
            RunFolderError: a run has no records.
        """
        return {name: each.curves for name, each in self._runs.items()}

    @cached_property
    def subjects(self) -> dict[str, Subject]:
        """The trained networks, with the same images for each; empty unless all can be read."""
        first = next(iter(self._runs.values()))
        if _read(lambda: _check_same(self.configs)) is None:
            return {}
        for each in self._runs.values():
            each.samples = first.samples
        found = {name: each.subject for name, each in self._runs.items()}
        subjects = {name: subject for name, subject in found.items() if subject is not None}
        return subjects if len(subjects) == len(found) else {}

    @cached_property
    def outputs(self) -> dict[str, dict[str, DomainOutput]]:
        """Outputs of the networks for the images, by run and domain."""
        return _known({name: self._runs[name].outputs for name in self.subjects})

    @cached_property
    def scores(self) -> "dict[str, Scores]":
        """Numbers that describe the features of each run."""
        return _known({name: self._runs[name].scores for name in self.outputs})

    @cached_property
    def agreement(self) -> dict[str, dict[str, float]]:
        """How well the clusters of each run agree with the domains and the classes."""
        from dacbn.analysis.verdict.comparison import measure_agreement

        return _known(
            {
                name: try_analysis(
                    f"{name}: clusters",
                    partial(measure_agreement, subject, seed=self.seed),
                    self._write,
                )
                for name, subject in self.subjects.items()
            }
        )


def _read(read: Callable[[], T]) -> T | None:
    """Read data that may have moved since the training; None, with a warning, if unreadable."""
    try:
        return read()
    except (ValueError, OSError) as error:
        warnings.warn(f"cannot show the images: {error}", stacklevel=2)
        return None


def _known(found: Mapping[str, T | None]) -> dict[str, T]:
    return {name: result for name, result in found.items() if result is not None}


def _check_same(configs: Mapping[str, TrainConfig]) -> bool:
    """Return True if the runs see the same images.

    Raises:
        ValueError: they do not.
    """
    first = next(iter(configs.values()))
    for name, config in configs.items():
        same = config.names(Role.IMAGES)
        if other := [field for field in same if getattr(config, field) != getattr(first, field)]:
            raise ValueError(f"{name} has another {', '.join(other)}: its images cannot be shared")
    return True
