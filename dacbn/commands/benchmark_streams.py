"""dacbn benchmark streams: the errors of a trained run on streams of images, over time."""

import dataclasses
import itertools
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import OmitArgPrefixes, Positional

from dacbn.benchmarks.stream_cell import TRAINED, Cell, Protocol
from dacbn.commands.stream_figure import draw_errors
from dacbn.commands.stream_folder import CELLS, claim, key, read_rows
from dacbn.commands.stream_parts import (
    StreamSettings,
    count_images,
    different_images,
    read_parts,
    shared_images,
)
from dacbn.commands.stream_paths import chosen, page, write_paths
from dacbn.commands.stream_report import write_stream_report
from dacbn.commands.stream_tables import table_of_errors, table_of_parts
from dacbn.spec import Spec, Term
from dacbn.spelling import spell, to_words
from dacbn.training import write_text

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter
    from dacbn.datasets import LabelledImages

TABLES, FIGURE = "tables.md", "errors"
REPORT, PATHS = "report.html", "paths"
NONE = "none"


def benchmark_streams(
    run: Positional[Path],
    settings: OmitArgPrefixes[StreamSettings],
    protocols: tuple[Protocol, ...] = ("iid", "continual", "correlated", "mixed", "single"),
    batch_sizes: tuple[int, ...] = (1, 4, 16, 64, 200),
    norms: tuple[str, ...] = (
        TRAINED,
        "prediction_time_batch_norm",
        "alpha_batch_norm",
        "robust_batch_norm",
        "unmix_norm",
        "stream_ucb_norm",
    ),
    methods: tuple[str, ...] = (NONE,),
    seeds: tuple[int, ...] = (0, 1, 2),
    output: Path = Path("streams"),
    device: str = "auto",
) -> None:
    """Let a trained run answer streams, and show its errors over time.

    What is done already is not done again. The folder holds report.html, a single file to read
    with all that follows; cells.jsonl (a line for each stream), tables.md, a figure of errors over
    time, and paths: where the statistics of each norm that follows went, in the first stream that
    mixes the parts and in the first that does not.

    Args:
        run: a run folder.
        settings: what the streams consist of.
        protocols: iid (each part shuffled, the network is reset between them), continual (not
            reset), correlated (labels in runs), mixed (all parts at once), single (iid, one image
            at a time).
        batch_sizes: images that are answered together; the protocol single has 1.
        norms: take the place of the BatchNorms of the run; source keeps them.
        methods: test-time methods; none only predicts.
        seeds: each draws its own images of each part, and their order.
        output: folder to write, or to go on with.
        device: cpu, cuda, or auto.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.analysis.presentation.settings import current_versions, describe_config
    from dacbn.benchmarks.protocols import PROTOCOLS
    from dacbn.benchmarks.stream_cells import run_cell
    from dacbn.benchmarks.stream_path import record_cell
    from dacbn.progress import LOGGER, Progress
    from dacbn.training import answering_ids, choose_device, one_domain, train_command

    needed = {"protocols": protocols, "norms": norms, "methods": methods, "seeds": seeds}
    for option, given in (needed | {"strengths": settings.strengths}).items():
        if not given:
            raise ValueError(f"{spell(option)} needs at least one")
    _check(settings, batch_sizes, norms, methods, seeds)
    adapter = DomainAdapter.from_pretrained(run, str(choose_device(device)))
    claim(output, run, dataclasses.asdict(settings))
    known = one_domain(answering_ids(adapter.network, adapter.config, settings.domain))
    options: dict[str, Any] = {
        "cluster_id": known,
        "reset": settings.reset,
        "concentration": settings.concentration,
    }
    pairs = _answering(adapter, norms, methods, known)
    cells = [
        Cell(protocol, size, norm, method, seed)
        for seed in dict.fromkeys(seeds)  # first, since its images are held in memory
        for protocol in dict.fromkeys(protocols)
        for size in ((1,) if PROTOCOLS[protocol].single else dict.fromkeys(batch_sizes))
        for norm, method in pairs
    ]
    there = count_images(adapter, settings)
    shared = shared_images(there, settings) if len(set(seeds)) > 1 else {}
    drawn = {seed: different_images(there, settings, seed) for seed in seeds}
    read: dict[int, dict[str, LabelledImages]] = {}  # of one seed at a time

    def parts_of(seed: int) -> "dict[str, LabelledImages]":
        if seed not in read:
            read.clear()
            read[seed] = read_parts(adapter, settings, seed)
        return read[seed]

    rows = read_rows(output / CELLS)
    waiting = [cell for cell in cells if key(dataclasses.asdict(cell)) not in rows]
    done = len(cells) - len(waiting)
    with Progress(len(cells), "stream", "answering", done, stays=True) as progress:
        for number, cell in enumerate(waiting, done + 1):
            progress.show(_named(cell))
            row = run_cell(adapter.network, parts_of(cell.seed), cell, **options)
            rows[key(row)] = row
            with open(output / CELLS, "a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
            progress.update(quiet=True)
            LOGGER.info(f"{number}/{len(cells)} {_named(cell)}: {row['error']:.1%} wrong")
    asked = [
        rows[key(dataclasses.asdict(cell))] | {"different": drawn[cell.seed], "shared": shared}
        for cell in cells
    ]
    recorded = write_paths(
        chosen(cells),
        output / PATHS,
        lambda cell: record_cell(adapter.network, parts_of(cell.seed), cell, **options),
    )
    pages = map(page, recorded)
    tables = "\n\n".join([table_of_errors(asked), table_of_parts(asked), *pages]) + "\n"
    write_text(output / TABLES, tables)
    figure = draw_errors(asked, output / FIGURE)
    words: dict[str, object] = {**dataclasses.asdict(settings), "protocols": protocols}
    words |= {"batch_sizes": batch_sizes, "norms": norms, "methods": methods, "seeds": seeds}
    words |= {"output": output, "device": device}
    write_stream_report(
        output / REPORT,
        run,
        asked,
        figure,
        recorded,
        {f"Settings of {run}": describe_config(adapter.config), "Versions": current_versions()},
        [train_command(adapter.config), _command(run, words)],
    )
    print(f"\n{tables}\nwrote {output}\nreport: {output / REPORT}")


def _command(run: Path, given: Mapping[str, object]) -> str:
    """Return the command that was given."""
    words = ["dacbn", "benchmark", "streams", str(run)]
    for name, value in given.items():
        if value not in (None, ()):
            words += to_words(name, value if isinstance(value, tuple) else str(value))
    return shlex.join(words)


def _check(
    settings: StreamSettings,
    batch_sizes: tuple[int, ...],
    norms: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: tuple[int, ...],
) -> None:
    """Check what takes long to come to."""
    from dacbn.datasets.corruptions import CORRUPTIONS, STRENGTHS
    from dacbn.methods import test_time_methods
    from dacbn.models import resolve_norm

    for value in settings.corruptions:
        if value not in CORRUPTIONS:
            raise ValueError(f"unknown corruption {value!r}. Known: {', '.join(CORRUPTIONS)}")
    for strength in settings.strengths:
        if strength not in STRENGTHS:
            raise ValueError(f"{spell('strengths')} are 1 to 5, got {strength}")
    if settings.images < 1:
        raise ValueError(f"{spell('images')} must be at least 1, got {settings.images}")
    if not settings.concentration > 0:
        raise ValueError(f"{spell('concentration')} must be positive, got {settings.concentration}")
    if min(seeds, default=0) < 0:
        raise ValueError(f"{spell('seeds')} must be at least 0, got {min(seeds)}")
    if min(batch_sizes, default=0) < 1:
        raise ValueError(f"{spell('batch_sizes')} must be at least 1, got {batch_sizes}")
    for norm in norms:
        if norm != TRAINED:
            resolve_norm(norm)
    for method in methods:
        if method != NONE:
            (term,) = Spec(method).terms
            test_time_methods.check(Term(*term))


def _answering(
    adapter: "DomainAdapter", norms: tuple[str, ...], methods: tuple[str, ...], cluster_id: int
) -> list[tuple[str, str | None]]:
    """Pair norms and methods; say which pairs the network cannot have, and leave them out.

    Raises:
        ValueError: it can have none.
    """
    from dacbn.progress import LOGGER
    from dacbn.streams import build_method

    pairs: list[tuple[str, str | None]] = []
    for norm, name in itertools.product(dict.fromkeys(norms), dict.fromkeys(methods)):
        method = None if name == NONE else name
        try:
            build_method(adapter.network, method, None if norm == TRAINED else norm, [cluster_id])
        except ValueError as error:
            reason = error
            LOGGER.warning(f"{norm} with method {name} is left out: {error}")
        else:
            pairs.append((norm, method))
    if not pairs:
        raise reason
    return pairs


def _named(cell: Cell) -> str:
    method = "" if cell.method is None else f" + {cell.method}"
    return f"{cell.protocol}, {cell.batch_size} at a time, {cell.norm}{method}, seed {cell.seed}"
