"""Spaces of settings, such as "lr=log(1e-4, 1e-2) norm=[batch_norm, ucb_norm]".

A space is one or more settings, each with `=` and what it may be: a list of alternatives in square
brackets, a range `between(low, high)`, a range `log(low, high)` whose logarithm is drawn evenly, or
one value. Options of norms and methods have the same: "method=dann(weight=log(0.1, 1))". A range
holds whole numbers where the setting or option takes no others.
"""

import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from typing import Any, NamedTuple, TypeAlias

from dacbn.limits import show
from dacbn.spec import LONGEST, Term

EXAMPLE = '"lr=log(1e-4, 1e-2) norm=[batch_norm, ucb_norm] method=dann(weight=between(0.1, 1))"'
RANGES = ("between", "log")


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included; `log` draws their logarithm evenly."""

    low: float
    high: float
    log: bool
    whole: bool = False


class Alternatives(NamedTuple):
    """Values to choose from, by the texts that they were written as."""

    by_text: dict[str, "Node"]


class Sum(NamedTuple):
    """A specification of a norm or method, with open options."""

    terms: tuple[tuple[str, dict[str, "Node"]], ...]


class Value(NamedTuple):
    """A value that is not open."""

    value: Any


Node: TypeAlias = Range | Alternatives | Sum | Value
Draw: TypeAlias = Callable[[str, Range | Alternatives], Any]
"""Returns a number of a range, or the text of an alternative, for the name of what is open."""


def read_space(text: str) -> dict[str, Node]:
    """Read a space: what each setting may be, by its name.

    Raises:
        ValueError: the text cannot be read.

    Example:
        >>> read_space("steps=between(100, 300)")
        {'steps': Range(low=100, high=300, log=False, whole=False)}
    """
    settings: dict[str, Node] = {}
    for name, expression in _split(text):
        if name in settings:
            raise ValueError(f"{name} is twice in the space: write its alternatives as [a, b]")
        try:
            settings[name] = _read(ast.parse(expression, mode="eval").body)
        except (SyntaxError, TypeError, MemoryError, RecursionError):
            raise _unreadable(f"{name}={expression}") from None
    return settings


def fill(node: Node, name: str, draw: Draw) -> Any:
    """Return a value of a setting, drawn where it is open.

    Args:
        node: what the setting may be.
        name: its name. That of an option of "dann" is "method.dann.weight", and of one in the
            second alternative "method[2].dann.weight".
        draw: see `Draw`.

    Example:
        >>> node = read_space("method=[mcc, dann(weight=between(0.1, 1))]")["method"]
        >>> fill(node, "method", lambda name, _: {"method": "mcc"}[name])
        'mcc'
    """
    match node:
        case Range():
            return draw(name, node)
        case Alternatives(by_text):
            chosen = draw(name, node)
            number = list(by_text).index(chosen) + 1
            return fill(by_text[chosen], f"{name}[{number}]", draw)
        case Sum(terms):
            return _write(
                (
                    term,
                    {key: fill(each, f"{name}.{term}.{key}", draw) for key, each in open_.items()},
                )
                for term, open_ in terms
            )
        case Value(value):
            return value


def extremes(node: Node) -> Iterator[Any]:
    """Yield values of a setting that have every alternative and both ends of every range.

    Example:
        >>> list(extremes(read_space("lr=[None, log(0.1, 1)]")["lr"]))
        [None, 0.1, 1]
    """
    match node:
        case Range(low, high):
            yield from (low, high)
        case Alternatives(by_text):
            for each in by_text.values():
                yield from extremes(each)
        case Sum(terms):
            names = [(term, key) for term, open_ in terms for key in open_]
            ends = [list(extremes(each)) for _, open_ in terms for each in open_.values()]
            for values in product(*ends):
                options = dict(zip(names, values, strict=True))
                yield _write(
                    (term, {key: options[term, key] for key in own}) for term, own in terms
                )
        case Value(value):
            yield value


def with_whole_numbers(node: Node, accepts: Callable[[Any], bool]) -> Node:
    """Mark the ranges that may hold whole numbers only.

    Args:
        node: what a setting may be.
        accepts: whether the setting can have a value.
    """
    match node:
        case Range(low, high):
            written = isinstance(low, int) and isinstance(high, int)
            return node._replace(whole=written and not accepts(low + 0.5))
        case Alternatives(by_text):
            return Alternatives({t: with_whole_numbers(n, accepts) for t, n in by_text.items()})
        case Sum(terms):
            first = [(term, {k: next(extremes(n)) for k, n in own.items()}) for term, own in terms]

            def mark(term: str, key: str, open_: Node) -> Node:
                def accepted(value: Any) -> bool:
                    return accepts(
                        _write((t, {**own, key: value} if t == term else own) for t, own in first)
                    )

                return with_whole_numbers(open_, accepted)

            return Sum(
                tuple((term, {k: mark(term, k, n) for k, n in own.items()}) for term, own in terms)
            )
        case Value():
            return node


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the expression of each setting: a name before = outside of brackets."""
    line, depth, starts = " ".join(text.split()), 0, []
    if len(line) > LONGEST:
        raise ValueError("the space is too long")
    try:
        for token, after in pairwise(tokenize.generate_tokens(io.StringIO(line).readline)):
            depth += (token.string in tuple("([{")) - (token.string in tuple(")]}"))
            if depth == 0 and token.type == tokenize.NAME and after.string == "=":
                starts.append((token.string, token.start[1], after.end[1]))
    except (tokenize.TokenError, SyntaxError):
        raise _unreadable(line) from None
    if not starts or starts[0][1] > 0:
        raise _unreadable(line)
    ends = [start for _, start, _ in starts[1:]] + [len(line)]
    for (name, _, begin), end in zip(starts, ends, strict=True):
        yield name, line[begin:end].strip(" ,;")


def _read(node: ast.expr) -> Node:
    """Raise TypeError if an expression is nothing that a setting can be."""
    if isinstance(node, ast.List):
        alternatives = {ast.unparse(each): _read(each) for each in node.elts}
        if len(alternatives) < len(node.elts) or not alternatives:
            raise ValueError(
                f"{show(ast.unparse(node))} needs at least one alternative, and each once"
            )
        return Alternatives(alternatives)
    if isinstance(node, ast.Name):
        return Value(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RANGES:
        return _read_range(node, node.func.id)
    if isinstance(node, ast.Call | ast.BinOp):
        return Sum(tuple(_read_terms(node)))
    try:
        return Value(ast.literal_eval(node))
    except ValueError:
        raise TypeError from None


def _read_terms(node: ast.expr) -> Iterator[tuple[str, dict[str, Node]]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _read_terms(node.left)
        yield from _read_terms(node.right)
    elif isinstance(node, ast.Name):
        yield node.id, {}
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        yield node.func.id, {str(each.arg): _read(each.value) for each in node.keywords}
    else:
        raise TypeError


def _read_range(node: ast.Call, kind: str) -> Range:
    text = ast.unparse(node)
    try:
        ends = [ast.literal_eval(each) for each in node.args]
    except ValueError:
        ends = []
    numbers = all(type(each) in (int, float) for each in ends)
    if node.keywords or len(ends) != 2 or not numbers or not ends[0] < ends[1]:
        raise ValueError(f"{show(text)} needs two numbers, the smaller first, as in {kind}(0.1, 1)")
    if kind == "log" and ends[0] <= 0:
        raise ValueError(f"{show(text)} needs positive numbers: begin above 0, or use between")
    return Range(ends[0], ends[1], log=kind == "log")


def _write(terms: Any) -> str:
    return " + ".join(str(Term(name, options)) for name, options in terms)


def _unreadable(text: str) -> ValueError:
    return ValueError(f"cannot read {show(text)}: write a space as in {EXAMPLE}")
