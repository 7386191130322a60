"""dacbn train: train a classifier for a target domain."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from dacbn.adapter import DomainAdapter
from dacbn.commands.adapt import run_adaptation
from dacbn.commands.folders import new_folder
from dacbn.commands.scores import print_scores
from dacbn.datasets import is_flat_folder
from dacbn.recipes import recipes
from dacbn.registry import parse_spec, split_sum
from dacbn.training import InterruptedTraining, TrainConfig, is_source_free


def read_recipe(words: list[str]) -> tuple[Callable[..., None], list[str]]:
    """Take a recipe's name off the words after `dacbn train`, if they begin with one.

    Returns:
        the command, whose defaults are then the recipe's, and the other words.
    """
    if not words or words[0] not in recipes:
        return train, words
    if "--resume" in words:
        raise ValueError("--resume goes on under the run's own settings: leave out the recipe")
    return partial(train, config=recipes[words[0]]()), words[1:]


def train(
    recipe: Positional[str | None] = None,
    config: OmitArgPrefixes[TrainConfig] = TrainConfig(),  # noqa: B008  # frozen
    run: Path | None = None,
    resume: Path | None = None,
) -> None:
    """Train a classifier for a target domain, and score it on the test splits.

    Args:
        recipe: comes first, and gives complete settings to the options after it, which override
            them; see dacbn list recipes.
        config: the settings.
        run: folder to write; by default a new one under runs/, named after the settings.
        resume: go on with the training in this run folder, under its own settings.
    """
    if recipe is not None:
        recipes[recipe]  # there may be none of that name
        raise ValueError(f"a recipe comes before all options: dacbn train {recipe} ...")
    if resume is not None:
        _refuse_settings(config, run)
    folder = resume or run or _new_folder(config)
    if resume is None and (folder / "config.json").exists():
        raise ValueError(
            f"{folder} holds a run: go on with --resume {folder}, or name another --run"
        )
    adapter = DomainAdapter.from_run(folder) if resume else DomainAdapter(**vars(config))
    config = adapter.config
    if resume is not None and is_source_free(config):
        return run_adaptation(adapter, config.target, config.method, folder, resume=True)
    print(f"{config.source} → {config.target}: {config.method}, {config.backbone}, {config.norm}")
    print(f"writing {folder}")
    target_test = None if is_flat_folder(config.target) else config.target
    try:
        adapter.fit(
            config.source,
            config.target,
            source_test=config.source,
            target_test=target_test,
            run=folder,
            resume=resume is not None,
        )
    except InterruptedTraining as stop:
        print(f"{stop}; everything is saved. Go on with: dacbn train --resume {folder}")
        raise SystemExit(130) from None
    print_scores(adapter.records[-1] if adapter.records else {})
    print(f"next: dacbn evaluate {folder}, dacbn predict {folder} IMAGES, dacbn analyse {folder}")


def _refuse_settings(config: TrainConfig, run: Path | None) -> None:
    """Say that settings beside --resume would be lost, rather than lose them."""
    given = ["run"] if run is not None else []
    default = vars(TrainConfig())
    given += [name for name, value in vars(config).items() if value != default[name]]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ValueError(f"--resume goes on under the run's own settings: leave out {options}")


def _new_folder(config: TrainConfig) -> Path:
    """Name a folder after the settings."""
    domains = f"{Path(config.source).resolve().name}-{Path(config.target).resolve().name}"
    method, norm = _names_in(config.method), _names_in(config.norm or "own_norms")
    return new_folder(f"{domains}-{method}-{norm}-seed{config.seed}")


def _names_in(spec: str) -> str:
    return "+".join(parse_spec(term)[0] for term in split_sum(spec))
