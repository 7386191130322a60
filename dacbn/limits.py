"""What the values of options and settings may be: their types, and ranges marked in the types.

An option says both where it is declared, in the signature of a constructor or in a group of
settings: `weight: Annotated[float, AT_LEAST_0] = 1.0`, or, by a short name from below,
`weight: NotNegative = 1.0`.
"""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

# float32, in which networks compute, holds 0 and numbers of a size between these
SMALLEST, LARGEST = 1e-37, 1e38
SHOWN = 80  # characters of a wrong value in a message


class Limit(NamedTuple):
    """The range of a number, or of each number in a tuple; None is in every range."""

    text: str
    holds: Callable[[float], bool]


AT_LEAST_0 = Limit("at least 0", lambda number: number >= 0)
AT_LEAST_1 = Limit("at least 1", lambda number: number >= 1)
AT_MOST_65536 = Limit("at most 65536", lambda number: number <= 65536)
POSITIVE = Limit("positive and finite", lambda number: 0 < number < math.inf)
BELOW_1 = Limit("in [0, 1)", lambda number: 0 <= number < 1)
UP_TO_1 = Limit("in [0, 1]", lambda number: 0 <= number <= 1)
OR_INFINITE = "or infinite"  # a mark: infinity fits too

Positive = Annotated[float, POSITIVE]
NotNegative = Annotated[float, AT_LEAST_0]
Fraction = Annotated[float, UP_TO_1]
Count = Annotated[int, AT_LEAST_1, AT_MOST_65536]
"""A number of clusters, groups, steps or units: above the largest there is no memory for them."""

WORDS: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    dict: "a dictionary",
    NoneType: "None",
}
# Python's and NumPy's
NUMERIC: dict[Any, Any] = {int: Integral, float: Real}


def misfit(kind: Any, value: object) -> str | None:
    """Say what a value must be to fit a type with its limits; None if it fits.

    Types that are not made of those in `WORDS` fit every value, unless they say by an attribute
    `described` what they are.

    Example:
        >>> misfit(Annotated[float, AT_LEAST_0], -1), misfit(tuple[Count, ...], (3, "x"))
        ('at least 0', 'a tuple, each a whole number')
        >>> print(misfit(int | None, None))
        None
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        if OR_INFINITE in inner and isinstance(value, Real) and value == math.inf:
            return None
        return misfit(inner[0], value) or _beyond(inner[1:], value)
    if origin in (Union, UnionType):
        wrong = [misfit(each, value) for each in inner]
        wanted = [text for text, each in zip(wrong, inner, strict=True) if each is not NoneType]
        return None if None in wrong else " or ".join(map(str, wanted))
    if origin is Literal:
        known = any(type(each) is type(value) and each == value for each in inner)
        one_of = "one of " if len(inner) > 1 else ""
        return None if known else one_of + ", ".join(map(str, inner))
    if origin is tuple:
        return _misfit_in_tuple(inner, value)
    return _misfit_of_one(kind, value)


def _misfit_in_tuple(kinds: tuple[Any, ...], value: object) -> str | None:
    any_length = kinds[-1] is Ellipsis
    if not isinstance(value, tuple | list):
        return "a tuple such as (64, 64)" if misfit(kinds[0], 64) is None else "a tuple"
    if not any_length and len(value) != len(kinds):
        return f"a tuple of {len(kinds)}"
    pairs = zip(kinds[:1] * len(value) if any_length else kinds, value, strict=True)
    wrong = (text for kind, each in pairs if (text := misfit(kind, each)))
    return next((f"a tuple, each {text}" for text in wrong), None)


def _misfit_of_one(kind: Any, value: Any) -> str | None:
    if kind in NUMERIC:
        if not isinstance(value, NUMERIC[kind]) or isinstance(value, bool):
            return WORDS[kind]
        if kind is float:
            return _misfit_of_float(abs(value))
        return None if -(2**63) <= value < 2**63 else "a whole number of at most 63 bits"
    words = WORDS.get(kind, getattr(kind, "described", None))
    return None if words is None or isinstance(value, kind) else words


def _misfit_of_float(size: float) -> str | None:
    if not size < math.inf:  # also NaN
        return "a finite number"
    if size == 0 or SMALLEST <= size <= LARGEST:
        return None
    return f"0, or of a size from {SMALLEST:g} to {LARGEST:g}, which float32 can hold"


def _beyond(marks: tuple[Any, ...], value: Any) -> str | None:
    """Name the limit that a value of the right type is beyond, or any number of a tuple."""
    for number in value if isinstance(value, tuple | list) else (value,):
        for limit in marks if number is not None else ():
            if isinstance(limit, Limit) and not limit.holds(number):
                return f"a tuple, each {limit.text}" if number is not value else limit.text
    return None


def check_values(owner: str, kinds: Mapping[str, Any], values: Mapping[str, object]) -> None:
    """Check options or settings.

    Args:
        owner: what they belong to, for the message; empty if that goes without saying.
        kinds: type, with limits, by name.
        values: by name; those without a type are not checked.

    Raises:
        ValueError: a value has another type than its own, or is out of its range.
    """
    for name, value in values.items():
        wanted = misfit(kinds[name], value) if name in kinds else None
        if wanted is not None:
            of = f" of {owner}" if owner else ""
            raise ValueError(f"{name}{of} must be {wanted}, got {show(value)}")


def show(value: object) -> str:
    """Write a value for a message: on one line, and not all of a long one."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a number with thousands of digits"
    except RecursionError:
        text = "something nested deeply"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
