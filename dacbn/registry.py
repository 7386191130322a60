"""Registries: a normaliser, a method or a dataset is one file plus one decorator."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import wraps
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Generic, Protocol, TypeVar

from dacbn.limits import check_values
from dacbn.spec import Spec, Term

T = TypeVar("T")
MakesSum = TypeVar("MakesSum", bound=Callable[..., Any])
Built = TypeVar("Built", covariant=True)


class UnknownNameError(ValueError):
    """The name is not registered; the text suggests the most similar and lists all."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        nearest = get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


class Builder(Protocol[Built]):
    """The part of a registry that `Registry.build` uses; its entries make a `Built`."""

    kind: str
    make_sum: Callable[..., Any] | None

    def check(self, term: Term) -> Callable[..., Built]:
        """See `Registry.check`."""


class Registry(Generic[T]):
    """A dictionary from name to class or function, filled by decorators.

    Args:
        kind: kind of the entries, for error messages ("norm", "method", "dataset").
        room: the package whose names are imported before the registry is first asked, so that its
            files have registered their entries.

    Example:
        >>> colours = Registry("colour")
        >>> @colours.register("red")
        ... def red(strength=1.0):
        ...     '''Return red.'''
        >>> list(colours), "red" in colours
        (['red'], True)
        >>> colours.describe("red")
        {'does': 'Return red.', 'options': 'strength=1.0'}
        >>> colours["rde"]
        Traceback (most recent call last):
            ...
        dacbn.registry.UnknownNameError: unknown colour 'rde'. Did you mean 'red'? Known: red.
    """

    def __init__(self, kind: str, room: str | None = None) -> None:
        self.kind = kind
        self.make_sum: Callable[..., Any] | None = None
        self._entries: dict[str, T] = {}
        self._room = room

    def _known(self) -> dict[str, T]:
        """Return all entries, after the files that register them are imported."""
        room, self._room = self._room, None  # the files that are imported may ask too
        if room is not None:
            try:
                package = import_module(room)
                for name in package.__all__:
                    getattr(package, name)
            except BaseException:  # such as Ctrl-C: the next to ask imports the rest
                self._room = room
                raise
        return self._entries

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate the class or function to register under `name`.

        A class checks the options that it is built with from then on, also without the registry.
        """

        def add(entry: T) -> T:
            known = self._entries.setdefault(name, entry)
            if known is not entry:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            if isinstance(entry, type):
                _check_when_built(name, entry)
            return entry

        return add

    def register_sum(self, make_sum: MakesSum) -> MakesSum:
        """Decorate the function that builds a sum from the fixed arguments and named terms."""
        self.make_sum = make_sum
        return make_sum

    def __getitem__(self, name: str) -> T:
        """Return the class or function of this name.

        Raises:
            UnknownNameError: the name is not registered.
        """
        if name not in self._known():
            raise UnknownNameError(self.kind, name, list(self))
        return self._entries[name]

    def check(self, term: Term) -> T:
        """Return the class or function that a term names, after checking the term's options.

        Raises:
            UnknownNameError: the name is not registered.
            ValueError: an option is unknown, or has a value of another type or out of range.
        """
        entry: Any = self[term.name]
        check_options(term.name, entry, term.options)
        return self[term.name]

    def build(self: Builder[Built], spec: str, *fixed: Any) -> Built:
        """Build the entry, or sum of entries, that a specification names.

        Args:
            spec: a name, a name with options, or a sum of these if the registry makes sums.
            fixed: positional arguments that come before the options.

        Raises:
            UnknownNameError: a name is not registered.
            ValueError: the text cannot be read, an option is wrong, or the terms cannot be added.
        """
        spec = Spec(spec)
        if len(spec.terms) == 1:
            return self.check(spec.terms[0])(*fixed, **spec.terms[0].options)
        if self.make_sum is None:
            raise ValueError(f"cannot add {self.kind}s: choose one of {', '.join(spec.names)}")
        if twice := [name for name in spec.names if spec.names.count(name) > 1]:
            raise ValueError(f"{twice[0]} appears twice in {spec!r}")
        parts = {term.name: self.check(term)(*fixed, **term.options) for term in spec.terms}
        built: Built = self.make_sum(*fixed, parts)
        return built

    def describe(self, name: str) -> dict[str, str]:
        """Describe an entry for `dacbn list`: text by heading, without headings that are empty.

        "does" is the first line of its docstring, "options" come from its signature, "needs" from
        its attribute, and "paper" is the paragraph of its module that begins with "Paper:".
        """
        entry: Any = self[name]
        options = [
            f"{option.name}={option.default!r}"
            for option in signature(entry).parameters.values()
            if option.default is not option.empty
        ]
        module = inspect.getdoc(inspect.getmodule(entry)) or ""
        paper = re.search(r"^Paper: (.*?)(?:^Differs|^$|\Z)", module, re.DOTALL | re.MULTILINE)
        about = {
            "does": (inspect.getdoc(entry) or "").partition("\n")[0],
            "options": ", ".join(options),
            "needs": ", ".join(getattr(entry, "needs", ())),
            "paper": " ".join(paper[1].split()) if paper else "",
        }
        return {heading: text for heading, text in about.items() if text}

    def __contains__(self, name: object) -> bool:
        return name in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known()))


def check_options(
    name: str,
    entry: Callable[..., object],
    options: Mapping[str, object],
    num_fixed: int | None = None,
) -> None:
    """Check that a class or function takes some keyword options, by its signature.

    Args:
        name: the name that the user typed, for the error message.
        entry: takes the options as parameters; their annotations say what values they may have
            (see `dacbn.limits`).
        options: to check.
        num_fixed: number of positional parameters before the options; None means that the options
            are the parameters with a default.

    Raises:
        ValueError: an option is unknown, or has a value of another type or out of range.
    """
    parameters = _parameters(entry)
    if num_fixed is None:
        taken = [each for each in parameters if each.default is not each.empty]
    else:
        taken = parameters[num_fixed:]
    known = [parameter.name for parameter in taken]
    for option in options:
        if option not in known:
            only = f"only {', '.join(known)}" if known else "nor any other"
            raise ValueError(f"{name} has no option {option!r}, {only}")
    _check_given(name, taken, options)


def _parameters(entry: Callable[..., object]) -> list[Parameter]:
    try:
        return list(signature(entry, eval_str=True).parameters.values())
    except NameError:  # an annotation in quotes, of a name imported for type checkers only
        return list(signature(entry).parameters.values())


def _check_given(name: str, parameters: list[Parameter], values: Mapping[str, object]) -> None:
    """Check values of parameters; a default is right whatever the annotation says."""
    defaults = {each.name: each.default for each in parameters}
    kinds = {each.name: each.annotation for each in parameters}
    given = {name: value for name, value in values.items() if value is not defaults.get(name)}
    check_values(name, kinds, given)


def _check_when_built(name: str, entry: Any) -> None:
    """Let a class check the arguments of its constructor."""
    init, parameters = entry.__init__, _parameters(entry.__init__)
    names = [each.name for each in parameters]

    @wraps(init)
    def checked(*args: Any, **options: Any) -> None:
        _check_given(name, parameters, {**dict(zip(names, args, strict=False)), **options})
        init(*args, **options)

    entry.__init__ = checked
