"""dacbn train: train a classifier for a target domain."""

import itertools
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from dacbn.adapter import DomainAdapter
from dacbn.commands.scores import print_scores
from dacbn.datasets import is_flat_folder
from dacbn.registry import parse_spec, split_sum
from dacbn.training import InterruptedTraining, TrainConfig


def train(
    config: OmitArgPrefixes[TrainConfig] = TrainConfig(),  # noqa: B008  # frozen
    run: Path | None = None,
    resume: Path | None = None,
) -> None:
    """Train a classifier for a target domain, and score it on the test splits.

    Args:
        config: the settings.
        run: folder to write; by default a new one under runs/, named after the settings.
        resume: go on with the training in this run folder, under its own settings.
    """
    if resume is not None:
        _refuse_settings(config, run)
    folder = resume or run or _new_folder(config)
    if resume is None and (folder / "config.json").exists():
        raise ValueError(
            f"{folder} holds a run: go on with --resume {folder}, or name another --run"
        )
    adapter = DomainAdapter.from_run(folder) if resume else DomainAdapter(**vars(config))
    config = adapter.config
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
    """Name a folder after the settings; a number tells it from earlier ones."""
    domains = f"{Path(config.source).resolve().name}-{Path(config.target).resolve().name}"
    method, norm = _names_in(config.method), _names_in(config.norm or "own_norms")
    name = f"{domains}-{method}-{norm}-seed{config.seed}"
    suffixes = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    folders = (Path("runs", name + suffix) for suffix in suffixes)
    return next(folder for folder in folders if not folder.exists())


def _names_in(spec: str) -> str:
    return "+".join(parse_spec(term)[0] for term in split_sum(spec))
