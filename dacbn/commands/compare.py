"""dacbn compare: train a grid of norms, methods and seeds, and tabulate their accuracies."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from dacbn.commands.default_config import default_config
from dacbn.commands.stopping import end_stopped
from dacbn.comparison import Plan, Shard
from dacbn.plain_text import say
from dacbn.training import InterruptedTraining, TrainConfig, starting_defaults, starts_pretrained

DEFAULT = TrainConfig()


def compare_from(words: list[str]) -> Callable[..., None]:
    """Return the command with the defaults that its words lead to; see `default_config`."""
    return partial(compare, config=default_config(words))


def compare(
    output: Path,
    norms: tuple[str, ...] = ("batch_norm", str(DEFAULT.norm)),
    methods: tuple[str, ...] = ("source_only", DEFAULT.method),
    seeds: int = 5,
    controls: bool = False,
    leave_one_out: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
    shard: str | None = None,
    config: OmitArgPrefixes[TrainConfig] = DEFAULT,
) -> None:
    """Train all norms with all methods and seeds; write comparison.md, .csv and .tex.

    Norms are compared with the first norm; methods with source_only, or else the first method. With
    pretrained weights, the linear probe of the frozen backbone is trained too, unless a classifier
    or a bottleneck is set.
    The same command resumes a stopped comparison: finished trainings are not repeated, and failed
    ones are tried again.

    Args:
        output: folder of the comparison.
        norms: normalisers, optionally with options: --norms batch_norm "ucb_norm(eps=1e-3)".
        methods: adaptation methods, optionally with options.
        seeds: number of seeds; --seed is the first of them.
        controls: also train controls that test whether the clusters are what helps: one cluster,
            random and frozen gates, random and swapped cluster ids, input standardisation, and
            as many parameters; and, of several sources, all as one.
        leave_one_out: take each of the sources in turn as the target, and train on the others; with
            --target none, leave it out of training and score it. Write leave_one_out.md and .csv,
            and a comparison for each domain in its sub-folder.
        workers: train so many cells at once on this machine, each in a process of its own.
        ray: train cells on a Ray cluster: HOST:PORT, or "auto" for the one of this machine.
        cpus: threads of each cell, and its CPUs on workers. By default as many as the cells
            before it; at first all, or the CPUs divided by the workers, or 1 on a cluster.
        gpus: GPUs of each cell on workers, or the share of one: --gpus 0.25. By default 1 on a
            cluster that has some; on this machine its GPUs divided by the workers.
        shard: train one part of the cells only, such as the third of 16: --shard 3/16. All parts
            together, at any time, on any machine, make the comparison in one folder.
        config: the settings that all trainings share; --norm and --method are refused here, use
            --norms and --methods.
    """
    from dacbn.comparison import choose_variants, make_grid, run_comparison, run_leave_one_out
    from dacbn.comparison.cells import MISSING
    from dacbn.comparison.files import NAME as COMPARISON
    from dacbn.comparison.grid import probe_settings
    from dacbn.comparison.leave_one_out import NAME as LEAVE_ONE_OUT

    _refuse_single(config)
    several = len(config.source) - leave_one_out > 1
    variants = choose_variants(norms, methods, controls, several, probe_settings(config))
    cells = make_grid(config, variants, seeds)
    plan = Plan(workers, ray, cpus, gpus, None if shard is None else Shard.parse(shard))
    plan.check()
    times = f"{len(config.source)} x " if leave_one_out else ""
    title = f"each of {', '.join(config.source)} left out" if leave_one_out else config.domains
    say(f"{title}: {times}{len(cells)} trainings")
    try:
        if leave_one_out:
            results = run_leave_one_out(output, config, variants, seeds, plan)
        else:
            results = run_comparison(output, config, cells, plan)
    except (InterruptedTraining, KeyboardInterrupt) as stop:
        cure = "Continue with the same command"
        end_stopped(stop, f"\nstopped; everything is saved in {output}. {cure}")
    name = LEAVE_ONE_OUT if leave_one_out else COMPARISON
    say((output / f"{name}.md").read_text(encoding="utf-8").partition("## Hardware")[0])
    if failed := sum(bool(result.why) for result in results):
        say(f"{failed} of {len(results)} trainings failed; the same command tries them again")
    if missing := sum(result.state == MISSING for result in results):
        cure = "the other shards train them" if shard else "the same command trains them"
        say(f"{missing} of {len(results)} trainings are missing; {cure}")
    kinds = f" and {name}.csv" if leave_one_out else f", {name}.csv and {name}.tex"
    say(f"wrote {output}/{name}.md{kinds}")


def _refuse_single(config: TrainConfig) -> None:
    """Raise if --norm or --method is given, because it would be ignored."""
    changed = starting_defaults(starts_pretrained(config), config.train)
    default = {**vars(DEFAULT), **changed}
    for name in ("norm", "method"):
        if getattr(config, name) != default[name]:
            raise ValueError(f"a comparison takes several: write --{name}s instead of --{name}")
