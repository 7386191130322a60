"""Search settings for a target without labels: trials by Optuna, chosen by validators."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dacbn.comparison.cells import check_settings
from dacbn.comparison.turns import in_turn
from dacbn.progress import LOGGER, Progress
from dacbn.spelling import spell
from dacbn.training import (
    FolderInUseError,
    InterruptedTraining,
    Role,
    RunFolderError,
    StorageError,
    TrainConfig,
    pin_weights,
    write_json,
    write_text,
)
from dacbn.training.storage import first_line
from dacbn.tuning.checks import check_space, check_trials, check_validators
from dacbn.tuning.default_spaces import default_space
from dacbn.tuning.report import NAME, write_report
from dacbn.tuning.results import Tuning
from dacbn.tuning.space import read_space
from dacbn.tuning.trials import run_folder, settings_of, train_trial, with_evaluation_at_half

if TYPE_CHECKING:
    from dacbn.tuning.study import Drawn, Study

SETTINGS = "tuning.json"
VOTERS = ("reverse_validation", "nearest_source", "bnm")  # that choose where none is named
WITHOUT_TARGET = ("source_accuracy",)


def tune(
    folder: str | Path,
    config: TrainConfig,
    space: str | None = None,
    trials: int = 40,
    validators: Sequence[str] = (),
    sampler: Literal["tpe", "random"] = "tpe",
    prune: bool = False,
) -> Tuning:
    """Train trials of settings, and choose one without labels of the target.

    Trial 0 has the settings in `config`. The same call goes on with a search that was stopped, and
    several processes may make it at the same time, in one folder.

    Args:
        folder: folder of the search; the run folders of the trials are in its `runs`.
        config: the settings that the trials share, with their domains.
        space: what the trials change, see `dacbn.tuning.space`; None has a space for the weights
            at the start.
        trials: how many there shall be in all.
        validators: those that choose, by a vote of several; none is a vote of `VOTERS`.
        sampler: of Optuna: "tpe", or "random".
        prune: end trials at half of their training whose validators are below the median of the
            finished trials.

    Raises:
        ValueError: the settings or the space do not work, or the folder holds another search.
        ImportError: Optuna is not installed.
        InterruptedTraining, KeyboardInterrupt: on a signal; the same call goes on.
        StorageError: the disk is full, or the folder cannot be written.

    Example:
        >>> config = TrainConfig(source="digits", target="color_digits", steps=300)
        >>> found = tune("runs/tuned", config, "lr=log(1e-4, 1e-2)", trials=12)  # doctest: +SKIP
        >>> adapter = DomainAdapter.from_pretrained(found.run)  # doctest: +SKIP
    """
    studies = _import_studies()
    folder = Path(folder)
    if trials < 1:
        raise ValueError(f"{spell('trials')} must be at least 1, got {trials}")
    validators = tuple(validators) or (VOTERS if config.target else WITHOUT_TARGET)
    recorded = tuple(dict.fromkeys((*config.validators, *validators)))
    config = dataclasses.replace(pin_weights(config), validators=recorded)
    if prune:
        config = with_evaluation_at_half(config)
    text = " ".join((space or default_space(config)).split())
    check_settings(config)
    check_validators(validators, config)
    open_ = check_space(read_space(text), config)
    search = {"space": text, "validator": list(validators), "sampler": sampler, "prune": prune}
    with in_turn(folder):
        _check_same(folder, config, search)
    LOGGER.info("space: %s", text)
    check_trials(config, open_)
    with studies.quiet():
        with in_turn(folder):
            _check_same(folder, config, search)
            write_json(folder / SETTINGS, {"settings": _shared(config), **search})
            study = studies.Study(folder, open_, validators, sampler, config.seed)
        return _run(study, folder, config, validators, trials, prune)


def _run(
    study: "Study",
    folder: Path,
    config: TrainConfig,
    validators: tuple[str, ...],
    trials: int,
    prune: bool,
) -> Tuning:
    """Run trials until there are enough, and write the report after each."""

    def report() -> Tuning:
        with in_turn(folder):
            found = study.read()
            changes = None if found.chosen is None else found.trials[found.chosen].settings
            chosen = None if changes is None else settings_of(config, changes)
            write_text(folder / NAME, write_report(found, config, chosen))
            return found

    LOGGER.info("writing %s", folder)
    with Progress(trials, "trial", "tuning", study.ended, stays=True) as progress:
        while True:
            with study.next_trial(trials) as trial:
                if trial is None:
                    return report()
                about = f"trial {trial.number} of {trials}"
                words = ", ".join(f"{name}={value}" for name, value in trial.settings.items())
                LOGGER.info("%s: %s", about, words or "the default settings")
                outcome = _run_trial(study, trial, folder, config, validators, prune)
            progress.update(quiet=True)
            LOGGER.info("%s: %s", about, outcome)
            report()


def _run_trial(
    study: "Study",
    trial: "Drawn",
    folder: Path,
    config: TrainConfig,
    validators: tuple[str, ...],
    prune: bool,
) -> str:
    """Train a trial, tell the study how it ended, and say it."""
    may_end = prune and not trial.is_default
    try:
        scores, ended = train_trial(
            settings_of(config, trial.settings),
            run_folder(folder, trial.number),
            partial(study.should_end, trial) if may_end else None,
        )
        missing = [name for name in validators if name not in scores]
        if missing and not ended:
            raise ValueError(f"{missing[0]} is infinite or NaN at the last evaluation")
    except (InterruptedTraining, StorageError, FolderInUseError):
        raise
    except Exception as error:  # of any type: the other trials can still run
        study.fail(trial, first_line(error))
        return f"failed ({first_line(error)})"
    if ended:
        study.end(trial, scores)
        return "ended early"
    study.finish(trial, scores)
    return ", ".join(f"{name} {scores[name]:.4g}" for name in validators)


def _import_studies() -> Any:
    """Import what needs Optuna.

    Raises:
        ImportError: it is not installed.
    """
    try:
        from dacbn.tuning import study
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise ImportError("tuning needs Optuna: pip install 'dacbn[tune]'", name="optuna") from None
    return study


def _shared(config: TrainConfig) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(config.to_json()))
    own = config.names(Role.UNREPORTED)
    return {name: value for name, value in settings.items() if name not in own}


def _check_same(folder: Path, config: TrainConfig, search: Mapping[str, Any]) -> None:
    """Raise if a folder holds a search with other settings."""
    path = folder / SETTINGS
    try:
        began = json.loads(path.read_text())
        settings = dict(began["settings"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"cannot read {path} ({first_line(error)}): choose another folder for the search"
        ) from None
    now = _shared(config)
    differing = [name for name in now if now[name] != settings.get(name, now[name])]
    differing += [name for name in search if search[name] != began.get(name)]
    if differing:
        raise ValueError(
            f"{folder} holds a search with another {', '.join(map(spell, differing))}: use its "
            "settings, or choose another folder"
        )
