"""Groups of settings, with marks in their types: limits, and roles for other runs."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import Flag, auto
from inspect import get_annotations
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin

from dacbn.limits import check_values
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


CONVERSIONS: list[tuple[type, Callable[[Any], Any]]] = [
    *((str, Spec), (str, Path), (Path, str), (list, tuple)),
]


@dataclass(frozen=True)
class Group:
    """A group of settings, such as `NetworkSettings`, or several by inheritance.

    Text becomes a `Spec`, a `Path` or a tuple of one, a path text, and a list a tuple, where the
    type of the setting is one. Numpy's scalars become Python's, which JSON can hold.

    Attributes:
        roles: of all settings of the group; each may have more roles in its type.
    """

    roles: ClassVar[Role] = Role(0)

    def __post_init__(self) -> None:
        for name, kind, _ in self._settings():
            kinds = [get_origin(each) or each for each in (kind, *get_args(kind))]
            value = _plain(getattr(self, name))
            if isinstance(value, str) and tuple in kinds:
                value = (value,)
            for given, wanted in CONVERSIONS:
                if isinstance(value, given) and wanted in kinds:
                    value = wanted(value)
            object.__setattr__(self, name, value)

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
            ValueError: a value has another type than the setting, or is out of its range.
        """
        kinds = {spell(field.name): field.type for field in fields(self)}
        check_values("", kinds, {spell(name): value for name, value in vars(self).items()})

    @classmethod
    def _settings(cls) -> Iterator[tuple[str, Any, list[Any]]]:
        """Yield name, type, and limits and roles of all settings, in order."""
        for field in fields(cls):
            group: Any = next(each for each in cls.__mro__ if field.name in get_annotations(each))
            hint: Any = field.type
            marks = getattr(hint, "__metadata__", ())  # of `Annotated`
            yield field.name, hint.__origin__ if marks else hint, [group.roles, *marks]


def _plain(value: Any) -> Any:
    """Return what NumPy or torch made as Python's, also each in a tuple or list."""
    torch = sys.modules.get("torch")  # not imported for this: the command line starts without
    if torch is not None and isinstance(value, torch.device):
        return str(value)
    if hasattr(value, "tolist"):  # scalars, arrays and tensors
        return value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, tuple | list) else value
