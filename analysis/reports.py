"""Make the whole report of one run, or of several: figures, the arrays behind them, and a page."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from dacbn.analysis.analyses import analyses, comparisons
from dacbn.analysis.helping_process import another_process
from dacbn.analysis.observe.recorder import find_normalisers
from dacbn.analysis.observe.run_folder import open_run
from dacbn.analysis.presentation.html import write_report
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.settings import (
    current_versions,
    describe_config,
    label_runs,
)
from dacbn.analysis.progress import WriteLine
from dacbn.analysis.rare_collection import collected_rarely
from dacbn.analysis.run_results import ComparedResults, ReportOptions, RunResults
from dacbn.analysis.verdict.opening import opening
from dacbn.plain_text import say
from dacbn.processes import leads
from dacbn.spelling import spell, to_words
from dacbn.training import RunInfo, claim, remove_drafts, train_command
from dacbn.training.storage import first_line


class Report(NamedTuple):
    """A report that has been written.

    Attributes:
        path: report.html.
        figures: folder of the figures and arrays.
        sections: in order; `Section.arrays` reads the arrays behind the figures.
        verdict: the sentences of the first section.
    """

    path: Path
    figures: Path
    sections: tuple[Section, ...]
    verdict: tuple[str, ...]


def report(
    runs: str | Path | Sequence[str | Path],
    *,
    images: int = 2000,
    seed: int = 0,
    layers: Sequence[str] = (),
    output: str | Path | None = None,
    data_root: str | Path | None = None,
    against: str | Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Report:
    """Analyse a run, or compare several, and write figures, arrays and report.html.

    Analyses that do not apply are left out, with a line that gives the reason.

    Args:
        runs: a run folder, or several.
        images: maximum number of images of the test split of each domain.
        seed: seed for choosing images, and for t-SNE.
        layers: normalisers whose outputs are embedded too, by name or pattern such as
            "backbone.layer1.*"; for a single run.
        output: folder for figures and report.html; by default the run folder, or `comparison`
            in the parent folder of the first of several.
        data_root: folder of the named datasets, if it has moved since the training.
        against: another run on the same domains: images are shown whose answer is not the same.
        device: cpu, cuda, or auto.
        quiet: do not print a line for each analysis.

    Raises:
        ValueError: no run, a run given twice, no images, or layers that do not exist.
        RunFolderError: a folder holds no run, or no records.
        FolderInUseError: another report is being written there.
        StorageError: the report cannot be written.
    """
    layers = (layers,) if isinstance(layers, str) else layers
    folders = [Path(run) for run in ([runs] if isinstance(runs, (str, Path)) else runs)]
    _check(folders, images, seed, layers)
    if against is not None and len(folders) > 1:
        raise ValueError(f"{spell('against')} is for one run: two runs are compared by naming both")
    alone = len(folders) == 1
    home = Path(output) if output else folders[0] if alone else folders[0].parent / "comparison"
    root = None if data_root is None else Path(data_root)
    infos = {str(run): open_run(run, root) for run in folders}
    options = ReportOptions(home / "figures", images, seed, tuple(layers), device)
    if against is not None:
        open_run(Path(against))  # a folder without a run is refused before the work
        options = options._replace(against=Path(against))
    if options.folder.is_symlink():
        raise ValueError(f"{options.folder} is a link: remove it, or choose another output folder")
    write = _ignore if quiet else _print
    path = home / "report.html"
    settings = {f"Settings of {run}": describe_config(each.config) for run, each in infos.items()}
    settings["Versions"] = current_versions()
    commands = [train_command(each.config) for each in infos.values()]
    commands.append(_command(folders, images, seed, layers, output, root, against))
    with claim(options.folder):  # not the run, which may still be trained
        remove_drafts(path)
        with another_process() as helping, collected_rarely():
            sections, first = (_analyse if alone else _compare)(infos, options, write)
        failed = {figure: first_line(error) for figure, error in helping.failed.items()}
        sections = [each.without_failed(failed) for each in sections]
        for figure, error in failed.items():
            write(f"{figure.stem}: not drawn: {error}")
            for file in (figure, figure.with_suffix(".svg")):  # of an earlier report
                file.unlink(missing_ok=True)
        if leads():  # the others, of several processes, ran their batches
            shown = [each.without(first) for each in sections]
            write_report(path, _title(infos), shown, settings, commands, first)
    return Report(path, options.folder, tuple(sections), sections[0].findings)


def _check(folders: Sequence[Path], images: int, seed: int, layers: Sequence[str]) -> None:
    if not folders:
        raise ValueError("there is nothing to analyse: name a run folder, or several to compare")
    if images < 1:
        raise ValueError(f"{spell('images')} must be at least 1, got {images}")
    if not 0 <= seed < 2**32:  # of scikit-learn's t-SNE
        raise ValueError(f"{spell('seed')} must be from 0 to 2**32 - 1, got {seed}")
    if len(set(folders)) < len(folders):
        raise ValueError("a run is named twice: name each once")
    if layers and len(folders) > 1:
        raise ValueError("layers are for one run: several runs are compared by their features")


def _analyse(
    infos: Mapping[str, RunInfo], options: ReportOptions, write: WriteLine
) -> tuple[list[Section], tuple[str, ...]]:
    """Run every analysis that applies to one run; return sections and what the page opens with."""
    ((run, info),) = infos.items()
    results = RunResults(Path(run), info, options, write)
    if results.subject is not None:
        for layer in options.layers:  # report an unknown name before the computations
            find_normalisers(results.subject.network, layer)
    _ = results.embedding  # begins before the analyses are imported, which takes a second
    sections = analyses.draw(results, write)
    return sections, tuple(opening(Path(run), results.outputs, options.against))


def _compare(
    infos: Mapping[str, RunInfo], options: ReportOptions, write: WriteLine
) -> tuple[list[Section], tuple[str, ...]]:
    """Run every comparison of several runs; the table comes first."""

    def writer_of(name: str) -> WriteLine:
        return lambda line: write(f"{name}: {line}")

    names = label_runs({run: info.config for run, info in infos.items()})
    runs = {
        names[run]: RunResults(Path(run), info, options, writer_of(names[run]), names[run])
        for run, info in infos.items()
    }
    return comparisons.draw(ComparedResults(runs, options, write), write), ()


def _title(infos: Mapping[str, RunInfo]) -> str:
    first = next(iter(infos.values())).config
    source, target = (
        tuple(Path(each).name for each in places) for places in (first.source, first.target)
    )
    unseen = tuple(Path(each).name for each in first.unseen)
    domains = replace(first, source=source, target=target, unseen=unseen).domains
    if len(infos) > 1:
        return f"{domains}: {len(infos)} runs compared"
    return f"{domains}: {first.method}, {first.backbone}, {first.norm or 'own norms'}"


def _command(
    runs: Sequence[Path],
    images: int,
    seed: int,
    layers: Sequence[str],
    output: str | Path | None,
    data_root: Path | None,
    against: str | Path | None,
) -> str:
    """Return the command that makes the same report."""
    given: dict[str, Any] = {"images": images, "seed": seed, "layers": tuple(layers) or None}
    given |= {"output": output, "data_root": data_root, "against": against}
    words = [to_words(name, value) for name, value in given.items() if value is not None]
    return shlex.join(["dacbn", "analyse", *map(str, runs), *chain.from_iterable(words)])


def _print(line: str) -> None:
    say(line)


def _ignore(line: str) -> None:
    pass
