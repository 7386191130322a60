"""Which moment of a training a rule chooses, read from its records.

The last checkpoint is what training keeps, whatever is chosen here: the choices are a report. The
headline is the last one, or the median of the last ten evaluations, which no selection has touched.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dacbn.training.metrics import TARGET_TEST_ACCURACY, VALIDATOR, is_validator

MEDIAN_OF = 10  # evaluations, as the authors of AdaMatch report

LAST, MEDIAN, ORACLE = "last", "median", "oracle"


class Choice(NamedTuple):
    """What a rule chooses.

    Args:
        rule: LAST, MEDIAN, ORACLE, or a validator's name.
        step: after which the evaluation was made; None for a median.
        accuracy: on the target's test split, there; None where the target has no labels.
    """

    rule: str
    step: int | None
    accuracy: float | None


def evaluations_of(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the records of evaluations, which others stand between, in order."""
    return [row for row in records if TARGET_TEST_ACCURACY in row or any(map(is_validator, row))]


def choose(records: Iterable[Mapping[str, Any]]) -> list[Choice]:
    """Choose by every rule that the records allow: the last and the oracle enclose the others.

    The oracle looks at the target's labels, and so cannot be had in practice; validators do not.
    """
    rows = evaluations_of(records)
    if not rows:
        return []
    names = dict.fromkeys(name for row in rows for name in row if is_validator(name))
    choices = [_at(rows[-1], LAST)]
    if accuracies := [row[TARGET_TEST_ACCURACY] for row in rows if TARGET_TEST_ACCURACY in row]:
        choices.append(Choice(MEDIAN, None, statistics.median(accuracies[-MEDIAN_OF:])))
    for name in names:
        if (row := _best(rows, name)) is not None:
            choices.append(_at(row, name.removeprefix(VALIDATOR)))
    if (row := _best(rows, TARGET_TEST_ACCURACY)) is not None:
        choices.append(_at(row, ORACLE))
    return choices


def _best(rows: list[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """Return the record where a number is largest, the latest of several; NaN never is."""
    found = [row for row in rows if not math.isnan(row.get(name, math.nan))]
    return max(reversed(found), key=lambda row: row[name], default=None)


def _at(row: Mapping[str, Any], rule: str) -> Choice:
    return Choice(rule, row["step"], row.get(TARGET_TEST_ACCURACY))
