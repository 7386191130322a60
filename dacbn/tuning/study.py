"""The study of Optuna, in a file that several processes share; the only file that imports Optuna.

Trials that a process leaves behind, because it was stopped or killed, keep the state RUNNING, and
nobody holds their lock: the next process that looks for work goes on with them.
"""

import logging
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from dacbn.comparison.turns import in_turn
from dacbn.training import FolderInUseError, StorageError, claim
from dacbn.tuning.choice import Scores, choose_trial, merit
from dacbn.tuning.results import ENDED, FAILED, FINISHED, OPEN, TunedTrial, Tuning
from dacbn.tuning.space import Alternatives, Node, Range, fill
from dacbn.tuning.trials import RUNS, run_folder

Sampler: TypeAlias = Literal["tpe", "random"]

FILE = "study.db"
NAME = "tuning"
PATIENCE = 60.0  # seconds to wait for other processes that write
HALF = 50  # percent of a training, after which it may be ended
# attributes of trials
DEFAULT, SETTINGS, AT_HALF, SCORES, WHY = "default", "settings", "half", "scores", "why"
STATES = {TrialState.COMPLETE: FINISHED, TrialState.PRUNED: ENDED, TrialState.FAIL: FAILED}


class Drawn(NamedTuple):
    """A trial to run, with the settings that it changes."""

    trial: Trial
    settings: dict[str, Any]

    @property
    def number(self) -> int:
        """Its number."""
        return self.trial.number

    @property
    def is_default(self) -> bool:
        """Whether it has the default settings."""
        return bool(self.trial.user_attrs.get(DEFAULT))


class Study:
    """Trials of settings.

    Args:
        folder: folder of the search.
        space: what the settings may be.
        validators: those that the search maximises.
        sampler: of Optuna.
        seed: of the sampler.
    """

    def __init__(
        self,
        folder: Path,
        space: Mapping[str, Node],
        validators: tuple[str, ...],
        sampler: Sampler,
        seed: int,
    ) -> None:
        self._folder, self._space, self._validators = folder, space, validators
        self._sampler, self._seed = sampler, seed
        (folder / RUNS).mkdir(exist_ok=True)
        with _storage_errors(folder):
            # not by an address, in which braces, % and ? in the name of a folder mean something
            storage = optuna.storages.RDBStorage(
                "sqlite://",
                engine_kwargs={
                    "creator": lambda: sqlite3.connect(folder / FILE, timeout=PATIENCE),
                    "poolclass": NullPool,
                },
            )
            self._study = optuna.create_study(
                storage=storage,
                study_name=NAME,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(),
            )
            if not self._all:
                self._study.enqueue_trial({}, user_attrs={DEFAULT: True})

    @contextmanager
    def next_trial(self, trials: int) -> Iterator[Drawn | None]:
        """Yield a trial that was left behind, or a new one; None if there are enough.

        No other process gets it as long as the context lasts.

        Args:
            trials: how many there shall be in all.
        """
        with ExitStack() as held:
            with in_turn(self._folder), _storage_errors(self._folder):
                trial = self._left_behind(held) or self._new(trials, held)
                drawn = None if trial is None else Drawn(trial, self._draw(trial))
            yield drawn

    def _left_behind(self, held: ExitStack) -> Trial | None:
        for each in self._all:
            if each.state != TrialState.RUNNING:
                continue
            try:
                held.enter_context(claim(self._lock(each.number)))
            except FolderInUseError:
                continue
            self._study.sampler = self._make_sampler(each.number)
            return Trial(self._study, each._trial_id)
        return None

    def _new(self, trials: int, held: ExitStack) -> Trial | None:
        begun = sum(each.state != TrialState.WAITING for each in self._all)
        if begun >= trials:
            return None
        self._study.sampler = self._make_sampler(begun)
        trial = self._study.ask()
        held.enter_context(claim(self._lock(trial.number)))
        return trial

    def _draw(self, trial: Trial) -> dict[str, Any]:
        """Return what a trial changes, as Optuna draws it, or has drawn it before."""
        known = trial.user_attrs.get(SETTINGS)
        if known is not None:
            return dict(known)

        def draw(name: str, open_: Range | Alternatives) -> Any:
            if isinstance(open_, Alternatives):
                return trial.suggest_categorical(name, list(open_.by_text))
            low, high, log, whole = open_
            if whole:
                return trial.suggest_int(name, int(low), int(high), log=log)
            number = float(f"{trial.suggest_float(name, low, high, log=log):.3g}")  # to be read
            return min(max(number, low), high)

        changes = {} if trial.user_attrs.get(DEFAULT) else self._space
        settings = {name: fill(node, name, draw) for name, node in changes.items()}
        trial.set_user_attr(SETTINGS, settings)
        return settings

    def should_end(self, drawn: Drawn, scores: Scores) -> bool:
        """Report the scores of a training at its half; return whether Optuna would end it there.

        Optuna compares with the median of the finished trials. It looks at the best score of a
        trial so far, and is told this one only.
        """
        trial = drawn.trial
        with in_turn(self._folder), _storage_errors(self._folder):
            before = [each.user_attrs[AT_HALF] for each in self._all if AT_HALF in each.user_attrs]
            if AT_HALF in trial.user_attrs:
                return False
            if any(name not in scores for name in self._validators):
                return True
            trial.set_user_attr(AT_HALF, dict(scores))
            trial.report(merit(scores, before, self._validators), HALF)
            return trial.should_prune()

    def finish(self, drawn: Drawn, scores: Scores) -> None:
        """Keep a trial with its scores, which are finite."""
        with in_turn(self._folder), _storage_errors(self._folder):
            done = [each for each in self._all if each.state == TrialState.COMPLETE]
            drawn.trial.set_user_attr(SCORES, dict(scores))
            before = [each.user_attrs[SCORES] for each in done]
            self._study.tell(drawn.trial, merit(scores, before, self._validators))

    def end(self, drawn: Drawn, scores: Scores) -> None:
        """Keep a trial that was ended early."""
        with in_turn(self._folder), _storage_errors(self._folder):
            drawn.trial.set_user_attr(SCORES, dict(scores))
            self._study.tell(drawn.trial, state=TrialState.PRUNED)

    def fail(self, drawn: Drawn, why: str) -> None:
        """Keep a trial as failed."""
        with in_turn(self._folder), _storage_errors(self._folder):
            drawn.trial.set_user_attr(WHY, why)
            self._study.tell(drawn.trial, state=TrialState.FAIL)

    def read(self) -> Tuning:
        """Return all trials, and the one that the validators choose."""
        with _storage_errors(self._folder):
            begun = [each for each in self._all if each.state != TrialState.WAITING]
        trials = tuple(_read(each) for each in begun)
        scores = {each.number: each.scores for each in trials if each.state == FINISHED}
        return Tuning(
            self._folder, trials, self._validators, choose_trial(scores, self._validators)
        )

    @property
    def ended(self) -> int:
        """How many trials have ended, in any way."""
        with _storage_errors(self._folder):
            return sum(each.state.is_finished() for each in self._all)

    @property
    def _all(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _lock(self, number: int) -> Path:
        """Return a folder to claim, beside the run folder, which the training claims itself."""
        run = run_folder(self._folder, number)
        return run.with_name(f".{run.name}")

    def _make_sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return a sampler for a trial: a seed of its own for each, or processes would repeat them.

        A search that was stopped then goes on as it would have gone.
        """
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        if self._sampler == "random":
            return optuna.samplers.RandomSampler(seed)
        with warnings.catch_warnings():  # trials of other processes count as bad until they end
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def _read(trial: FrozenTrial) -> TunedTrial:
    known, state = trial.user_attrs, STATES.get(trial.state, OPEN)
    settings, scores = known.get(SETTINGS, {}), known.get(SCORES, {})
    return TunedTrial(trial.number, state, settings, scores, known.get(WHY, ""))


@contextmanager
def quiet() -> Iterator[None]:
    """Let Optuna log warnings only."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    """Raise `StorageError` where the study cannot be read or written."""
    try:
        yield
    except (OptunaError, SQLAlchemyError, sqlite3.Error) as error:
        raise StorageError(folder / FILE, error) from error
