"""dacbn compare: train a grid of norms, methods and seeds, and tabulate what they reach."""

from pathlib import Path

from tyro.conf import OmitArgPrefixes

from dacbn.comparison import choose_variants, make_grid, run_comparison
from dacbn.training import InterruptedTraining, TrainConfig

DEFAULT = TrainConfig()


def compare(
    output: Path,
    norms: tuple[str, ...] = ("batch_norm", str(DEFAULT.norm)),
    methods: tuple[str, ...] = ("source_only", DEFAULT.method),
    seeds: int = 5,
    controls: bool = False,
    config: OmitArgPrefixes[TrainConfig] = DEFAULT,
) -> None:
    """Train all norms with all methods and seeds; write comparison.md, .csv and .tex.

    The first norm, and source_only or else the first method, are what the others are compared
    with. The same command goes on where it was stopped: what is finished is not trained again, and
    what has failed is tried again.

    Args:
        output: folder of the comparison.
        norms: normalisers, each with options if wished, as --norms batch_norm "ucb_norm(eps=1e-3)".
        methods: adaptation methods, likewise.
        seeds: how many; --seed is the first of them.
        controls: also train what would refute that a normaliser's clusters help: one cluster,
            random and frozen gates, random and swapped cluster ids, input standardisation, and
            as many parameters.
        config: the settings that all trainings share; --norm and --method have no use here.
    """
    _refuse_single(config)
    cells = make_grid(config, choose_variants(norms, methods, controls), seeds)
    print(f"{config.source} → {config.target}: {len(cells)} trainings, writing {output}")
    try:
        results = run_comparison(output, config, cells)
    except (InterruptedTraining, KeyboardInterrupt):
        print(f"\nstopped; what was trained is in {output}. Go on with the same command")
        raise SystemExit(130) from None
    print((output / "comparison.md").read_text(encoding="utf-8").partition("## Hardware")[0])
    if failed := sum(bool(result.why) for result in results):
        print(f"{failed} of {len(cells)} trainings failed; the same command tries them again")
    print(f"wrote {output}/comparison.md, comparison.csv and comparison.tex")


def _refuse_single(config: TrainConfig) -> None:
    """Say that a norm or method beside the lists would be lost, rather than lose it."""
    for name in ("norm", "method"):
        if getattr(config, name) != getattr(DEFAULT, name):
            raise ValueError(f"a comparison takes several: write --{name}s instead of --{name}")
