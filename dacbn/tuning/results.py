"""What a tuning has found: its trials, and the one that is chosen."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dacbn.training import RunFolderError, evaluations_of, read_records, read_run_info
from dacbn.training.metrics import NUM_IMAGES, TARGET_TEST_ACCURACY
from dacbn.training.score_intervals import describe_score
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

    def describe_accuracy(self, number: int) -> str:
        """Write one of `accuracies` with its interval, number of images, and chance."""
        return describe_score(self._tested()[number], "target", self._num_classes(number))

    def about_images(self) -> str:
        """Say of how many images `accuracies` are, and what chance reaches; nothing without any."""
        tested = self._tested()
        counts = sorted(
            {row[NUM_IMAGES["target"]] for row in tested.values() if NUM_IMAGES["target"] in row}
        )
        if not counts:
            return ""
        images = " or ".join(f"{each:,.0f}" for each in counts)
        classes = self._num_classes(next(iter(tested)))
        chance = f"; chance reaches {100 / classes:.1f}" if classes else ""
        return f" Test images: {images}{chance}."

    def _num_classes(self, number: int) -> int:
        with suppress(RunFolderError):
            return len(read_run_info(run_folder(self.folder, number)).classes)
        return 0

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
