"""What a tuning has found: its trials, and the one that is chosen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dacbn.intervals import Interval
from dacbn.training import RunFolderError, evaluations_of, read_records
from dacbn.training.metrics import TARGET_TEST_ACCURACY
from dacbn.training.score_intervals import interval_of
from dacbn.tuning.choice import Scores, choose_trial
from dacbn.tuning.trials import run_folder

FINISHED, ENDED, FAILED, OPEN = "finished", "ended early", "failed", "not finished"


class TunedTrial(NamedTuple):
    """One trial.

    Attributes:
        number: its number; 0 has the default settings.
        state: finished, ended early, failed, or not finished.
        settings: what it changes of the default settings.
        scores: of validators, at its last evaluation.
        why: the error of a failed one.
    """

    number: int
    state: str
    settings: Mapping[str, Any]
    scores: Scores
    why: str = ""


class Tuning(NamedTuple):
    """The trials of a tuning.

    Attributes:
        folder: its folder.
        trials: all trials, in order.
        validators: those that choose.
        chosen: number of the chosen trial; None if none has finished.
    """

    folder: Path
    trials: tuple[TunedTrial, ...]
    validators: tuple[str, ...]
    chosen: int | None

    @property
    def run(self) -> Path:
        """The run folder of the chosen trial, for `DomainAdapter.from_pretrained`.

        Raises:
            RuntimeError: no trial has finished.
        """
        if self.chosen is None:
            raise RuntimeError(f"no trial has finished: {self.folder}/tuning.md says why")
        return run_folder(self.folder, self.chosen)

    @property
    def finished(self) -> dict[int, TunedTrial]:
        """The finished trials by number."""
        return {each.number: each for each in self.trials if each.state == FINISHED}

    def chosen_by(self, *validators: str) -> int | None:
        """Return the trial that other validators would have chosen, of those that have them."""
        scores = {number: each.scores for number, each in self.finished.items()}
        complete = {n: own for n, own in scores.items() if all(v in own for v in validators)}
        return choose_trial(complete, validators)

    def accuracies(self) -> dict[int, float]:
        """Read the accuracies of the finished trials on the target's test split, if it has labels.

        Nothing that chooses has them.
        """
        return {n: float(row[TARGET_TEST_ACCURACY]) for n, row in self._tested().items()}

    def intervals(self) -> dict[int, Interval]:
        """Return the intervals of `accuracies`, of those whose number of images is known."""
        found = {n: interval_of(row, "target") for n, row in self._tested().items()}
        return {number: each for number, each in found.items() if each is not None}

    def _tested(self) -> dict[int, dict[str, Any]]:
        """Read the last evaluations of the finished trials that have a target with labels."""
        found = {}
        for number in self.finished:
            try:
                last = evaluations_of(read_records(run_folder(self.folder, number)))[-1]
            except (RunFolderError, IndexError):
                continue
            if TARGET_TEST_ACCURACY in last:
                found[number] = dict(last)
        return found
