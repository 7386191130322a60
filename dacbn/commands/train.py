"""dacbn train: train a classifier for a target domain."""

import dataclasses
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from dacbn.commands.adapt import run_adaptation
from dacbn.commands.default_config import default_config, list_flags
from dacbn.commands.new_folder import RUNS, new_folder
from dacbn.commands.scores import print_against, print_scores
from dacbn.commands.stopping import end_stopped
from dacbn.plain_text import say
from dacbn.processes import Launched, leads
from dacbn.recipes import recipes
from dacbn.spec import Spec
from dacbn.training import InterruptedTraining, TrainConfig
from dacbn.training.setting_groups import NO_TARGET

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter

OWN_NORMS = Spec("own_norms")  # in the names of folders, for a backbone that keeps its norms
WITH_RESUME = {"--resume", "--steps", "--help"}
OWN_STEPS = -sys.maxsize  # stands for steps that are not given


def read_defaults(words: list[str]) -> tuple[Callable[..., None], list[str]]:
    """Read from the words after `dacbn train` which defaults the other options have.

    They are those of a recipe, whose name may come first, or those for pretrained weights.

    Returns:
        the command with these defaults, and the words without a recipe.

    Raises:
        ValueError: settings are given together with --resume, where they would be ignored.
    """
    flags = list_flags(words)
    named = bool(words) and words[0] in recipes
    if "--resume" in flags:
        if named:
            raise ValueError("--resume uses the run's own settings: leave out the recipe")
        if others := [flag for flag in flags if flag not in WITH_RESUME]:
            options = ", ".join(others)
            raise ValueError(f"--resume uses the run's own settings: leave out {options}")
        return partial(train, config=TrainConfig(steps=OWN_STEPS)), words
    if not named:
        config = default_config(words)
        return (train if config == TrainConfig() else partial(train, config=config)), words
    return partial(train, config=recipes[words[0]]()), words[1:]


def train(
    recipe: Positional[str | None] = None,
    config: OmitArgPrefixes[TrainConfig] = TrainConfig(),  # noqa: B008  # frozen
    output: Annotated[Path | None, arg(aliases=["--run"])] = None,
    resume: Path | None = None,
) -> None:
    """Train a classifier for a target domain, and score it on the test splits.

    Args:
        recipe: name of a recipe, given first; later options override its settings. See dacbn list
            recipes.
        config: the settings.
        output: folder to write; by default a new one under runs/, named after the settings.
        resume: continue the training in this run folder, with its own settings; a larger --steps
            makes it longer.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.training import CONFIG, check_without_target

    if recipe is not None:
        recipes[recipe]  # raises if there is no such recipe
        raise ValueError(f"a recipe comes before all options: dacbn train {recipe} ...")
    if resume is not None:
        return _resume(resume, config.steps)
    launched = Launched.read()
    if launched is not None and output is None and launched.may_restart:
        raise ValueError("a restart has to find the run that it goes on with: give it --output")
    goes_on = output is not None and (output / CONFIG).exists()
    if goes_on and launched is None:
        raise ValueError(
            f"{output} holds a run: continue it with --resume {output}, or choose another --output"
        )
    check_without_target(config)
    adapter = DomainAdapter(**vars(config))
    # of several processes only the first makes a folder
    makes, known = output is None and leads(), output or RUNS / _name(config)
    with new_folder(_name(config)) if makes else nullcontext(known) as folder:
        _fit(adapter, folder, resume=launched is not None and output is not None)


def _resume(folder: Path, steps: int) -> None:
    """Continue a run with its own settings, or to a larger number of steps."""
    from dacbn.adapter import DomainAdapter
    from dacbn.training import IN_MEMORY, is_source_free

    adapter = DomainAdapter.from_run(folder)
    config = adapter.config
    if IN_MEMORY in (*(*config.source, *config.target, *config.target_labelled, *config.unseen),):
        raise ValueError(
            f"{folder} was trained from arrays: resume it in Python, with "
            f"DomainAdapter.from_run({str(folder)!r}).fit(..., run={str(folder)!r}, resume=True)"
        )
    if steps != OWN_STEPS:
        if steps <= config.steps:
            raise ValueError(f"--steps must be above the {config.steps} of {folder}, got {steps}")
        adapter.config = config = dataclasses.replace(config, steps=steps)
    if is_source_free(config):
        return run_adaptation(adapter, config.target[0], config.method, folder, resume=True)
    _fit(adapter, folder, resume=True)


def _fit(adapter: "DomainAdapter", folder: Path, resume: bool = False) -> None:
    """Train, and print the folder and the scores; the target's test split needs labels for that."""
    from dacbn.training import choose_device, choose_size, describe_size, test_places

    config = adapter.config
    say(f"{config.domains}: {config.method}, {config.backbone}, {config.norm}")
    size = choose_size(config, choose_device(config.device), *config.source, *config.target)
    if not resume and (note := describe_size(config, size)):
        say(note)
    scored = config.target or config.unseen
    try:
        adapter.fit(
            config.source,
            config.target or None,
            source_test=test_places(config.source, config.columns),
            target_test=test_places(scored, config.columns),
            target_labelled=config.target_labelled or None,
            run=folder,
            resume=resume,
        )
    except InterruptedTraining as stop:
        cure = f"Continue with: dacbn train --resume {folder}"
        end_stopped(stop, f"{stop}; everything is saved. {cure}")
    last = adapter.records[-1] if adapter.records else {}
    print_scores(last, unseen=not config.target, num_classes=len(adapter.classes))
    print_against(folder)
    say(f"next: dacbn evaluate {folder}, dacbn predict {folder} IMAGES, dacbn analyse {folder}")


def _name(config: TrainConfig) -> str:
    """Name a folder after the settings."""
    from dacbn.datasets import name_shards

    names = (
        "+".join(name_shards(each) or Path(each).resolve().name for each in places) or NO_TARGET
        for places in (config.source, config.target)
    )
    domains = "-".join(names)
    method, norm = ("+".join(spec.names) for spec in (config.method, config.norm or OWN_NORMS))
    return f"{domains}-{method}-{norm}-seed{config.seed}"
