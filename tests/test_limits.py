"""What fits an annotation, what does not, and how it is said."""

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from dacbn.limits import (
    AT_LEAST_0,
    AT_LEAST_1,
    OR_INFINITE,
    POSITIVE,
    Count,
    Fraction,
    NotNegative,
    Positive,
    check_values,
    misfit,
    show,
)
from dacbn.spec import Spec

P = Annotated[float, AT_LEAST_1, OR_INFINITE] | Literal["inf"]

FITS = [
    (float, 1),
    (float, -2.5),
    (float, np.float32(0.5)),
    (int, np.int64(3)),
    (int, -(2**63)),
    (bool, False),
    (str, ""),
    (Path, Path("a")),
    (Spec, Spec("dann")),
    (int | None, None),
    (Positive, 1e-37),
    (NotNegative, 0),
    (Fraction, 1),
    (Count, 65536),
    (Literal["a", "b"], "b"),
    (tuple[Count, ...], ()),
    (tuple[Count, ...], [3, 4]),
    (Annotated[tuple[int, ...], AT_LEAST_1], (1, 2)),
    (Annotated[float | None, POSITIVE], None),
    (tuple[float, float], (0.5, 1)),
    (Annotated[tuple[float, float] | None, POSITIVE], [0.5, 1]),
    (P, math.inf),
    (P, "inf"),
    (object, "anything"),
]

WRONG = [
    (float, "1", "a number"),
    (P, np.array([1.0, 1.0]), "a number or inf"),
    (float, None, "a number"),
    (float, True, "a number"),
    (float, 1j, "a number"),
    (float, math.inf, "a finite number"),
    (float, math.nan, "a finite number"),
    (float, 10**400, "0, or of a size from 1e-37 to 1e+38, which float32 can hold"),
    (float, 1e-40, "0, or of a size from 1e-37 to 1e+38, which float32 can hold"),
    (int, 1.0, "a whole number"),
    (int, True, "a whole number"),
    (int, 2**63, "a whole number of at most 63 bits"),
    (bool, 1, "True or False"),
    (bool, "no", "True or False"),
    (str, 5, "text"),
    (Path, "a", "a path"),
    (Spec, "dann", "text such as 'dann'"),
    (int | None, "x", "a whole number"),
    (Positive, 0, "positive and finite"),
    (NotNegative, -1, "at least 0"),
    (Fraction, 1.5, "in [0, 1]"),
    (Count, 0, "at least 1"),
    (Count, 65537, "at most 65536"),
    (Literal["a", "b"], "c", "one of a, b"),
    (Literal["a", "b"], ["a"], "one of a, b"),
    (tuple[Count, ...], 5, "a tuple such as (64, 64)"),
    (tuple[str, ...], "ab", "a tuple"),
    (tuple[Count, ...], (3, 0), "a tuple, each at least 1"),
    (tuple[Count, ...], (3, 2.0), "a tuple, each a whole number"),
    (tuple[float, float], (0.5,), "a tuple of 2"),
    (tuple[float, str], (0.5, 1), "a tuple, each text"),
    (
        Annotated[tuple[float, float] | None, POSITIVE],
        (0.5, 0),
        "a tuple, each positive and finite",
    ),
    (tuple[str, ...], [5], "a tuple, each text"),
    (Annotated[tuple[int, ...], AT_LEAST_1], (1, 0), "a tuple, each at least 1"),
    (Annotated[float | None, POSITIVE], -1, "positive and finite"),
    (P, 0.5, "at least 1 or inf"),
    (P, -math.inf, "a finite number or inf"),
]


@pytest.mark.parametrize(("kind", "value"), FITS)
def test_what_fits(kind, value):
    assert misfit(kind, value) is None


@pytest.mark.parametrize(("kind", "value", "wanted"), WRONG)
def test_what_does_not_fit_is_told_what_would(kind, value, wanted):
    assert misfit(kind, value) == wanted


def test_a_message_names_option_owner_and_value():
    kinds = {"weight": Annotated[float, AT_LEAST_0]}
    with pytest.raises(ValueError, match=r"^weight of dann must be at least 0, got -1$"):
        check_values("dann", kinds, {"weight": -1})
    with pytest.raises(ValueError, match=r"^weight must be a number, got 'x'$"):
        check_values("", kinds, {"weight": "x"})
    check_values("", kinds, {"weight": 1, "other": object()})


def test_a_value_is_shown_on_one_line_and_not_without_end():
    assert show("a\nb") == r"'a\nb'" and show(np.zeros((2, 2))).count("\n") == 0
    assert show("x" * 1000) == "'" + "x" * 79 + "…"
    assert show(10**5000) == "a number with thousands of digits"
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert show(nested) == "something nested deeply"
