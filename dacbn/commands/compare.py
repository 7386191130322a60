"""dacbn compare: train a grid of norms, methods and seeds, and tabulate their accuracies."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from dacbn.commands.default_config import default_config
from dacbn.commands.stopping import end_stopped
from dacbn.comparison import choose_variants, make_grid, run_comparison
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
    config: OmitArgPrefixes[TrainConfig] = DEFAULT,
) -> None:
    """Train all norms with all methods and seeds; write comparison.md, .csv and .tex.

    Norms are compared with the first norm; methods with source_only, or else the first method.
    The same command resumes a stopped comparison: finished trainings are not repeated, and failed
    ones are tried again.

    Args:
        output: folder of the comparison.
        norms: normalisers, optionally with options: --norms batch_norm "ucb_norm(eps=1e-3)".
        methods: adaptation methods, optionally with options.
        seeds: number of seeds; --seed is the first of them.
        controls: also train controls that test whether the clusters are what helps: one cluster,
            random and frozen gates, random and swapped cluster ids, input standardisation, and
            as many parameters.
        config: the settings that all trainings share; --norm and --method are refused here, use
            --norms and --methods.
    """
    _refuse_single(config)
    cells = make_grid(config, choose_variants(norms, methods, controls), seeds)
    say(f"{config.domains}: {len(cells)} trainings")
    try:
        results = run_comparison(output, config, cells)
    except (InterruptedTraining, KeyboardInterrupt) as stop:
        cure = "Continue with the same command"
        end_stopped(stop, f"\nstopped; everything is saved in {output}. {cure}")
    say((output / "comparison.md").read_text(encoding="utf-8").partition("## Hardware")[0])
    if failed := sum(bool(result.why) for result in results):
        say(f"{failed} of {len(cells)} trainings failed; the same command tries them again")
    say(f"wrote {output}/comparison.md, comparison.csv and comparison.tex")


def _refuse_single(config: TrainConfig) -> None:
    """Raise if --norm or --method is given, because it would be ignored."""
    changed = starting_defaults(starts_pretrained(config), config.train)
    default = {**vars(DEFAULT), **changed}
    for name in ("norm", "method"):
        if getattr(config, name) != default[name]:
            raise ValueError(f"a comparison takes several: write --{name}s instead of --{name}")
