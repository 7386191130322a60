"""Compare with each of several domains left out in turn, as the target or unseen."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from dacbn.comparison.grid import Variant, baseline_of, make_grid, reference_of
from dacbn.comparison.plan import Plan
from dacbn.comparison.render import to_markdown, to_plain
from dacbn.comparison.results import Result, accuracies, images_of, read_results
from dacbn.comparison.run_comparison import HERE, run_comparison
from dacbn.comparison.statistics import paired_difference, summarise
from dacbn.comparison.tables import ALONE, NOTHING, Table, percent, points, rule_title, rules_of
from dacbn.comparison.turns import in_turn
from dacbn.spelling import spell
from dacbn.training import TrainConfig, name_domains, write_text
from dacbn.training.selection import LAST

NAME = "leave_one_out"
_UNSEEN = "is left out of training, and the others are sources"


def leave_one_out(config: TrainConfig) -> dict[str, TrainConfig]:
    """Return the settings of each comparison, by the name of the domain that is left out.

    The sources of `config` take turns: each once is the target, or unseen where there is no target.

    Raises:
        ValueError: there are fewer than two domains, or there is a target besides.
    """
    if len(config.source) < 2 or config.target not in (TrainConfig.target, ()):
        raise ValueError(
            f"{spell('leave_one_out')} takes each source in turn as the target: give "
            f"{spell('source')} all domains, at least two, and leave out {spell('target')}"
        )
    every = dataclasses.replace(config, target=(), merge_sources=False)
    return {
        name: dataclasses.replace(
            config,
            source=tuple(other for other in config.source if other != place),
            **{"target" if config.target else "unseen": (place,)},  # type: ignore[arg-type]
        )
        for name, place in zip(name_domains(every), config.source, strict=True)
    }


def run_leave_one_out(
    folder: Path, config: TrainConfig, variants: Sequence[Variant], seeds: int, plan: Plan = HERE
) -> list[Result]:
    """Run a comparison for each domain that is left out; write leave_one_out.md and .csv.

    Args:
        folder: each comparison is in its sub-folder of the domain's name, as `run_comparison`
            writes it.
        config: the settings that all trainings share; its sources are the domains.
        variants: what to compare.
        seeds: number of seeds.
        plan: where the cells are trained; shards share those of all comparisons.

    Returns:
        the results of all cells of all comparisons.

    Raises:
        ValueError, ImportError, InterruptedTraining, FolderInUseError, StorageError: as in
            `run_comparison`.
    """
    configs = leave_one_out(config)
    grids = {name: make_grid(own, variants, seeds) for name, own in configs.items()}
    every = [(name, cell) for name, cells in grids.items() for cell in cells]
    own = plan.shard.share(every) if plan.shard else every
    parts = {name: folder / name.replace("/", "-") for name in grids}
    found: dict[str, list[Result]] = {}
    for name, cells in grids.items():
        mine = [cell for of, cell in own if of == name]
        found[name] = run_comparison(parts[name], configs[name], cells, plan, mine)
        if plan.shard is None:
            _write(folder, found, variants)
    if plan.shard is not None:
        with in_turn(folder):  # others have trained cells of each part meanwhile
            found = {name: read_results(grids[name], parts[name] / "runs") for name in grids}
            _write(folder, found, variants)
    return [result for results in found.values() for result in results]


def domain_table(found: Mapping[str, Sequence[Result]], variants: Sequence[Variant]) -> Table:
    """Tabulate the accuracy on each domain that was left out, and the mean of domains."""
    config = next(iter(found.values()))[0].cell.config
    role = "is the target, and the others are sources" if config.target else _UNSEEN
    caption = (
        f"Test accuracy in % at the last of {config.steps} steps, without any selection, on each "
        f"domain when it {role}: mean ± standard deviation over seeds. The mean of domains is "
        "taken seed by seed; its differences are paired over seeds, with 95 % confidence intervals "
        f"by Student's t: of the norm from {variants[0].norm} under the same method (of a control, "
        "from the norm it controls), and of the method under the same norm."
        f"{_about_images(found)}"
    )
    rows = []
    for variant in variants:
        means = _means(found, variant)
        others = (reference_of(variant, variants), baseline_of(variant, variants))
        differences = [
            None if other is None else paired_difference(means, _means(found, other))
            for other in others
        ]
        each = [
            percent(summarise(list(accuracies(of, variant).values())), images_of(of))
            for of in found.values()
        ]
        rows.append(
            [
                *(variant.title, variant.method),
                *each,
                percent(summarise(list(means.values()))),
                *map(points, differences),
            ]
        )
    headings = ["norm", "method", *found, "mean", "difference in norm", "difference in method"]
    return Table("Accuracy on the domain left out", caption, headings, rows)


def rule_table(found: Mapping[str, Sequence[Result]], variants: Sequence[Variant]) -> Table:
    """Tabulate the mean accuracy of domains at the evaluation that each rule selects."""
    results = [result for of in found.values() for result in of]
    rules, has_target = rules_of(results), bool(results[0].cell.config.target)
    caption = (
        "Mean of domains of the test accuracy in % at the evaluation that each rule selects. The "
        "oracle looks at the labels that are tested, and is not available in practice."
        f"{_about_images(found)}"
    )
    rows = []
    for variant in variants:
        chosen = [summarise(list(_means(found, variant, rule).values())) for rule in rules]
        shown = [NOTHING if each is None else f"{100 * each.mean:.1f}" for each in chosen]
        rows.append([variant.title, variant.method, *shown])
    headings = ["norm", "method", *(rule_title(rule, has_target) for rule in rules)]
    return Table("Mean of domains by selection rule", caption, headings, rows)


def _about_images(found: Mapping[str, Sequence[Result]]) -> str:
    """Say how many images of each domain were tested, and what chance reaches."""
    counts = {name: images_of(results) for name, results in found.items()}
    known = [f"{name} {count:,}" for name, count in counts.items() if count is not None]
    classes = max(result.classes for results in found.values() for result in results)
    if not (known and classes):
        return ""
    return f" Test images: {', '.join(known)}. Chance: {100 / classes:.1f}.{ALONE}"


def _means(
    found: Mapping[str, Sequence[Result]], variant: Variant, rule: str = LAST
) -> dict[int, float]:
    """Return the mean of domains by seed, of the seeds that all of them have."""
    each = [accuracies(results, variant, rule) for results in found.values()]
    seeds = sorted(set.intersection(*map(set, each)))
    return {seed: sum(of[seed] for of in each) / len(each) for seed in seeds}


def _write(
    folder: Path, found: Mapping[str, Sequence[Result]], variants: Sequence[Variant]
) -> None:
    tables = [domain_table(found, variants), rule_table(found, variants)]
    title = to_plain(", ".join(found))
    text = [f"# Each domain left out in turn: {title}\n", *map(to_markdown, tables)]
    write_text(folder / f"{NAME}.md", "\n".join(text))
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["norm", "method", "control", "domain", "seed", "accuracy"])
    for name, results in found.items():
        for variant in variants:
            for seed, accuracy in accuracies(results, variant).items():
                cell = (variant.norm, variant.method, variant.control, name, seed)
                writer.writerow([*cell, round(100 * accuracy, 3)])
    write_text(folder / f"{NAME}.csv", rows.getvalue())
