"""Names for things: a normaliser, a method or a dataset is one file plus one decorator."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from inspect import signature
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class UnknownNameError(ValueError):
    """A name that nothing is registered under; the text lists the nearest and the known ones."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        nearest = get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


class Registry(Generic[T]):
    """A dictionary from name to class or function, filled by decorators.

    Args:
        kind: what the names stand for, for error messages ("norm", "method", "dataset").

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

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate the class or function to be found under `name`."""

        def add(entry: T) -> T:
            if self._entries.setdefault(name, entry) is not entry:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """Return what is registered under `name`.

        Raises:
            UnknownNameError: nothing is.
        """
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, list(self))
        return self._entries[name]

    def describe(self, name: str) -> dict[str, str]:
        """Say what a person wants to know of an entry, by heading; what it lacks is left out.

        "does" is the first line of its docstring, "options" come from its signature, "needs" from
        its attribute, and "paper" is what its module says after "Paper:".
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
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Split `"ucb_norm(num_clusters=5, update='em')"` into its name and keyword options.

    A bare name has no options; values are Python literals.

    Raises:
        ValueError: the text is neither a name nor a name with keyword options.
    """
    problem = _unreadable(spec)
    node = _parse(spec)
    if isinstance(node, ast.Name):
        return node.id, {}
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.args:
        raise problem
    options: dict[str, Any] = {}
    for option in node.keywords:
        if option.arg is None or option.arg in options:
            raise problem  # `**something`, or the same option twice
        try:
            options[option.arg] = ast.literal_eval(option.value)
        except (ValueError, TypeError):
            raise problem from None
    return node.func.id, options


def split_sum(spec: str) -> list[str]:
    """Split `"batch_norm(eps=1e-3) + weight_standardization"` into its terms.

    Raises:
        ValueError: the text cannot be read.
    """
    node, terms = _parse(spec), []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms.append(ast.unparse(node.right))
        node = node.left
    return [ast.unparse(node), *reversed(terms)]


def _parse(spec: str) -> ast.expr:
    try:
        return ast.parse(spec.strip(), mode="eval").body
    except SyntaxError:
        raise _unreadable(spec) from None


def _unreadable(spec: str) -> ValueError:
    return ValueError(
        f"cannot read {spec!r}: write a name, or a name with options as in "
        '"ucb_norm(num_clusters=5)"'
    )
