"""Model selection: the evaluation that each rule selects from the records of a training.

Selections are for the report only: training always saves the last network. The main results are the
last evaluation and the median of the last ten, which do not involve selection.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dacbn.training.metrics import TARGET_TEST_ACCURACY, VALIDATOR, is_validator

MEDIAN_OF = 10  # evaluations, as reported by the authors of AdaMatch

LAST, MEDIAN, ORACLE = "last", "median", "oracle"
# What DomainBed calls these rules (Gulrajani and Lopez-Paz, "In Search of Lost Domain
# Generalization", ICLR 2021, https://arxiv.org/abs/2007.01434), for a training without a target.
DOMAINBED = {"source_accuracy": "training-domain validation", ORACLE: "test-domain (oracle)"}


class Choice(NamedTuple):
    """The evaluation that a rule selects.

    Attributes:
        rule: LAST, MEDIAN, ORACLE, or a validator's name.
        step: step of the evaluation; None for the median.
        accuracy: test accuracy on the target at that step; None if the target has no labels.
    """

    rule: str
    step: int | None
    accuracy: float | None


def evaluations_of(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the evaluation records, in order (other records are skipped)."""
    return [row for row in records if TARGET_TEST_ACCURACY in row or any(map(is_validator, row))]


def choose(records: Iterable[Mapping[str, Any]]) -> list[Choice]:
    """Apply every selection rule that the records allow; first the last one, finally the oracle.

    The oracle uses target labels, so it is not available in practice; validators do not use them.
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
    """Return the record with the largest value, the latest of equal ones; NaN is skipped."""
    found = [row for row in rows if not math.isnan(row.get(name, math.nan))]
    return max(reversed(found), key=lambda row: row[name], default=None)


def _at(row: Mapping[str, Any], rule: str) -> Choice:
    return Choice(rule, row["step"], row.get(TARGET_TEST_ACCURACY))
