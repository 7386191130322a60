"""The choice among trials, by validators alone.

Each validator ranks all trials; the vote of a trial is its mean rank, as a share: 0 would be below
all, 1 above all, and equal scores share their ranks. The trial with the largest vote is chosen, of
equal ones the earliest. What is chosen from has no field for anything that needs target labels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dacbn.training.metrics import VALIDATOR, is_validator

Scores: TypeAlias = Mapping[str, float]


def label_free(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite scores of validators in the record of an evaluation, by their names."""
    return {
        name.removeprefix(VALIDATOR): float(value)
        for name, value in record.items()
        if is_validator(name) and math.isfinite(value)
    }


def vote(candidates: Mapping[int, Scores], names: Sequence[str]) -> dict[int, float]:
    """Return the vote of each trial.

    Args:
        candidates: scores by the number of the trial; each has all validators.
        names: the validators that vote.

    Example:
        >>> vote({0: {"bnm": 0.2, "snd": 1.0}, 1: {"bnm": 0.9, "snd": 2.0}}, ["bnm", "snd"])
        {0: 0.25, 1: 0.75}
    """
    from scipy.stats import rankdata

    if not candidates:
        return {}
    table = np.array([[scores[name] for name in names] for scores in candidates.values()])
    shares = (rankdata(table, axis=0).mean(1) - 0.5) / len(table)
    return dict(zip(candidates, shares.tolist(), strict=True))


def choose_trial(candidates: Mapping[int, Scores], names: Sequence[str]) -> int | None:
    """Return the number of the trial with the largest vote, the first of equal ones."""
    votes = vote(candidates, names)
    return max(sorted(votes), key=votes.__getitem__, default=None)


def merit(scores: Scores, others: Sequence[Scores], names: Sequence[str]) -> float:
    """Return the number that the search maximises.

    It is the score of a single validator; of several, which have different units, the vote among
    the trials before.
    """
    if len(names) == 1:
        return scores[names[0]]
    known = [each for each in others if all(name in each for name in names)]
    return vote(dict(enumerate([scores, *known])), names)[0]
