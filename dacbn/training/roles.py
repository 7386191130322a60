"""Marks in the types of settings: the limits of their values, and their roles for other runs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import Flag, auto
from inspect import get_annotations
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_args, get_origin

from dacbn.spec import Spec
from dacbn.spelling import spell


class Role(Flag):
    """The roles of a setting in resumed, adapted and compared runs."""

    LENGTH = auto()  # how long to train: a resumed training may change it
    NEUTRAL = auto()  # does not affect what is learned: a resumed training may change it
    UNREPORTED = auto()  # nor anything that is reported: runs of one comparison may differ in it
    VARIED = auto()  # the runs of a comparison differ in it by design
    KEPT = auto()  # an adaptation keeps the value of the trained network
    IMAGES = auto()  # decides which test images there are
    ADDED = auto()  # missing in config.json of earlier versions, which mean its default
    NAMING = auto()  # names a run: its value is understood without its name


RESUMABLE = Role.LENGTH | Role.NEUTRAL | Role.UNREPORTED


class Limit(NamedTuple):
    """The range of a number, or of each number in a tuple; None is in every range."""

    text: str
    holds: Callable[[float], bool]


AT_LEAST_0 = Limit("at least 0", lambda number: number >= 0)
AT_LEAST_1 = Limit("at least 1", lambda number: number >= 1)
POSITIVE = Limit("positive and finite", lambda number: 0 < number < math.inf)
BELOW_1 = Limit("in [0, 1)", lambda number: 0 <= number < 1)


CONVERSIONS: list[tuple[type, Callable[[Any], Any]]] = [(str, Spec), (str, Path), (list, tuple)]


@dataclass(frozen=True)
class Group:
    """A group of settings, such as `NetworkSettings`, or several by inheritance.

    Text becomes a `Spec` or `Path`, and a list a tuple, where the type of the setting is one.

    Attributes:
        roles: of all settings of the group; each may have more roles in its type.
    """

    roles: ClassVar[Role] = Role(0)

    def __post_init__(self) -> None:
        for name, kind, _ in self._settings():
            kinds = [get_origin(each) or each for each in (kind, *get_args(kind))]
            for given, wanted in CONVERSIONS:
                if isinstance(getattr(self, name), given) and wanted in kinds:
                    object.__setattr__(self, name, wanted(getattr(self, name)))

    @classmethod
    def names(cls, roles: Role) -> list[str]:
        """List the settings that have any of these roles, in order."""
        return [
            name
            for name, _, marks in cls._settings()
            if any(isinstance(mark, Role) and mark & roles for mark in marks)
        ]

    def check(self) -> None:
        """Check all values; not done in `__post_init__`, because tyro reports its errors badly.

        Raises:
            ValueError: a number is out of its range, or a choice is unknown.
        """
        for name, kind, marks in self._settings():
            value = getattr(self, name)
            if get_origin(kind) is Literal and value not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise ValueError(f"{spell(name)} must be one of {known}, got {value!r}")
            if get_origin(kind) is tuple and not isinstance(value, tuple):
                raise ValueError(f"{spell(name)} must be a tuple, got {value!r}")
            if kind is Spec and not isinstance(value, Spec):
                raise ValueError(f"{spell(name)} must be text such as 'dann', got {value!r}")
            for number in value if isinstance(value, tuple) else (value,):
                for limit in marks if number is not None else ():
                    if isinstance(limit, Limit) and not limit.holds(number):
                        raise ValueError(f"{spell(name)} must be {limit.text}, got {number}")

    @classmethod
    def _settings(cls) -> Iterator[tuple[str, Any, list[Any]]]:
        """Yield name, type, and limits and roles of all settings, in order."""
        for field in fields(cls):
            group: Any = next(each for each in cls.__mro__ if field.name in get_annotations(each))
            hint: Any = field.type
            marks = getattr(hint, "__metadata__", ())  # of `Annotated`
            yield field.name, hint.__origin__ if marks else hint, [group.roles, *marks]
