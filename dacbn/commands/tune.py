"""dacbn tune: search settings by trials, and choose one without labels of the target."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes

from dacbn.commands.default_config import default_config
from dacbn.commands.stopping import end_stopped
from dacbn.plain_text import say
from dacbn.training import InterruptedTraining, TrainConfig


def tune_from(words: list[str]) -> Callable[..., None]:
    """Return the command with the defaults that its words lead to; see `default_config`."""
    return partial(tune, config=default_config(words))


def tune(
    output: Path,
    space: str | None = None,
    trials: int = 40,
    validator: tuple[str, ...] = (),
    sampler: Literal["tpe", "random"] = "tpe",
    prune: bool = False,
    config: OmitArgPrefixes[TrainConfig] = TrainConfig(),  # noqa: B008  # frozen
) -> None:
    """Search settings by trials, and choose one without labels of the target.

    Trial 0 has the settings given here; the others are drawn from the space by Optuna. The same
    command goes on with a search that was stopped; started several times, it shares the trials.

    Args:
        output: folder of the search; each trial has a run folder in it.
        space: what the trials change: settings with alternatives in brackets, ranges between(a, b),
            and ranges log(a, b) for rates, also in the options of norms and methods:
            "lr=log(1e-4, 1e-2) norm=[batch_norm, ucb_norm] method=dann(weight=between(0.1, 1))". By
            default rate, method and norm, or what suits pretrained weights.
        trials: how many there shall be in all.
        validator: what chooses, see dacbn list validators; several vote. By default
            reverse_validation, nearest_source and bnm, or source_accuracy without a target.
        sampler: tpe, which learns from the trials before, or random.
        prune: end trials at half of their training whose validators are below the median there.
        config: the settings that all trials share; those in the space are of trial 0 only.
    """
    from dacbn.tuning import tune as run_tuning
    from dacbn.tuning.report import DETAILS, NAME
    from dacbn.tuning.results import OPEN

    say(f"{config.domains}: {trials} trial{'s' * (trials != 1)}")
    try:
        found = run_tuning(output, config, space, trials, validator, sampler, prune)
    except (InterruptedTraining, KeyboardInterrupt) as stop:
        cure = "Continue with the same command"
        end_stopped(stop, f"\nstopped; everything is saved in {output}. {cure}")
    say((output / NAME).read_text(encoding="utf-8").partition(DETAILS)[0])
    if left := sum(each.state == OPEN for each in found.trials):
        say(f"{left} of {len(found.trials)} trials are not finished: other processes train them")
    say(f"wrote {output / NAME}")
    if found.chosen is not None:
        say(f"next: dacbn predict {found.run} IMAGES, dacbn analyse {found.run}")
