"""Write the results of a comparison as comparison.md, comparison.csv and comparison.tex."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dacbn.comparison.cells import FAILED, FINISHED, MISSING
from dacbn.comparison.estimate_table import estimate_table
from dacbn.comparison.grid import Variant, baseline_of, reference_of
from dacbn.comparison.render import to_latex, to_markdown, to_plain
from dacbn.comparison.results import Result, accuracies, finished, images_of
from dacbn.comparison.statistics import Difference, summarise
from dacbn.comparison.tables import (
    choice_table,
    correlation_table,
    difference_from,
    headline_table,
    rules_of,
)
from dacbn.training import train_command, write_text
from dacbn.training.selection import LAST

NAME = "comparison"


def write_files(
    folder: Path, results: Sequence[Result], machines: Sequence[Mapping[str, str]]
) -> None:
    """Write comparison.md, comparison.csv and comparison.tex.

    Args:
        folder: folder of the comparison.
        results: results of all its cells.
        machines: hardware and versions that it has run on.

    Raises:
        StorageError: the folder cannot be written.
    """
    variants = list(dict.fromkeys(result.cell.variant for result in results))
    tables = [headline_table(results, variants), choice_table(results, variants)]
    if any(result.estimated for result in results):
        tables.append(estimate_table(results, variants))
    correlations = correlation_table(results)
    if correlations.rows:
        tables.append(correlations)
    markdown = [_head(results), *map(to_markdown, tables), _failures(results)]
    markdown += [_circumstances(machines), _commands(results)]
    latex = "% needs \\usepackage{booktabs}\n" + "\n".join(map(to_latex, tables))
    texts = {"md": "\n".join(filter(None, markdown)), "tex": latex}
    for suffix, text in (texts | {"csv": _csv(results, variants)}).items():
        write_text(folder / f"{NAME}.{suffix}", text)


def _head(results: Sequence[Result]) -> str:
    config = results[0].cell.config
    count = {
        state: sum(result.state == state for result in results)
        for state in (FINISHED, FAILED, MISSING)
    }
    states = ", ".join(f"{number} {state}" for state, number in count.items() if number)
    cells = "1 cell" if len(results) == 1 else f"{len(results)} cells"
    return f"# {to_plain(config.domains)}\n\n{cells}: {states}.\n"


def _failures(results: Sequence[Result]) -> str:
    lines = [f"- `{r.cell.name}`: {to_plain(r.why)}" for r in results if r.state == FAILED]
    return "\n".join(["## Failed\n", *lines, ""]) if lines else ""


def _circumstances(machines: Sequence[Mapping[str, str]]) -> str:
    lines = ["- " + ", ".join(f"{k} {v}" for k, v in machine.items()) for machine in machines]
    return "\n".join(["## Hardware and versions\n", *lines, ""])


def _commands(results: Sequence[Result]) -> str:
    lines = [train_command(result.cell.config) for result in results]
    return "\n".join(["## Command of each cell\n", "```bash", *lines, "```", ""])


def _csv(results: Sequence[Result], variants: Sequence[Variant]) -> str:
    rows = [_csv_row(results, variants, variant) for variant in variants]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _csv_row(
    results: Sequence[Result], variants: Sequence[Variant], variant: Variant
) -> dict[str, Any]:
    ended = list(finished(results, variant).values())
    row: dict[str, Any] = {
        "norm": variant.norm,
        "method": variant.method,
        **{name: dict(variant.changes).get(name, "") for name in ("input_norm", "cluster_ids")},
        "control": variant.control,
        "seeds": len(ended),
    }
    row |= _moments("target", list(accuracies(results, variant).values()))
    row |= _moments("source", [result.source_accuracy for result in ended])
    others = {"norm": reference_of(variant, variants), "method": baseline_of(variant, variants)}
    for kind, other in others.items():
        row |= _difference(kind, other, difference_from(results, variant, other))
    for rule in rules_of(results):
        if rule != LAST:
            chosen = list(accuracies(results, variant, rule).values())
            row |= _moments(f"chosen_by_{rule}", chosen)
    seconds = summarise([result.seconds for result in ended])
    row |= {"training_seconds": "" if seconds is None else round(seconds.mean, 1)}
    images = images_of(ended)
    told = [each.accuracy for result in ended for each in result.estimated if each.can_tell]
    return row | {"target_images": "" if images is None else images, **_moments("estimated", told)}


def _moments(name: str, values: list[float]) -> dict[str, Any]:
    summary = summarise(values)
    mean, sd = (None, None) if summary is None else summary[:2]
    return {f"{name}_mean": _percent(mean), f"{name}_sd": _percent(sd)}


def _difference(kind: str, other: Variant | None, difference: Difference | None) -> dict[str, Any]:
    mean, interval = (None, None) if difference is None else difference[:2]
    low, high = interval or (None, None)
    return {
        f"{kind}_reference": "" if other is None else getattr(other, kind),
        f"{kind}_difference": _percent(mean),
        f"{kind}_low": _percent(low),
        f"{kind}_high": _percent(high),
    }


def _percent(share: float | None) -> float | str:
    return "" if share is None else round(100 * share, 3)
