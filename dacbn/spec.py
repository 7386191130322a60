"""Specifications such as "ucb_norm(num_clusters=5) + weight_standardization"."""

import ast
from typing import Any, ClassVar, NamedTuple, Self

from dacbn.limits import show

LONGEST = 10_000  # characters; Python reads nested text by recursion


class Term(NamedTuple):
    """A name with keyword options."""

    name: str
    options: dict[str, Any] = {}  # noqa: RUF012  # a default of a tuple, never written to

    def __str__(self) -> str:
        """Return the term as text, as a user types it."""
        options = ", ".join(
            f"{option}={ast.unparse(_as_literal(value))}" for option, value in self.options.items()
        )
        return f"{self.name}({options})" if options else self.name


class Spec(str):
    """A specification: a name, a name with options, or a sum of these.

    The text is read once, here, and written in one form: specifications that differ only in spaces
    and quotes are equal. A `Spec` is returned unchanged.

    Args:
        text: options are Python literals, as in "ucb_norm(num_clusters=5, update='em')".

    Raises:
        ValueError: the text cannot be read.

    Attributes:
        terms: the terms of the sum, at least one.

    Example:
        >>> spec = Spec('ucb_norm( num_clusters=5, update="em" )+weight_standardization')
        >>> print(spec)
        ucb_norm(num_clusters=5, update='em') + weight_standardization
        >>> spec.terms[0].options["num_clusters"]
        5
    """

    described: ClassVar[str] = "text such as 'dann'"
    terms: tuple[Term, ...]

    def __new__(cls, text: str) -> Self:
        """Read the text."""
        if isinstance(text, cls):
            return text
        try:
            terms = tuple(_read_terms(text))
            spec = super().__new__(cls, " + ".join(map(str, terms)))
        except (SyntaxError, ValueError, TypeError):
            raise ValueError(
                f"cannot read {show(text)}: write a name, or a name with options as in "
                '"ucb_norm(num_clusters=5)"'
            ) from None
        except (RecursionError, MemoryError):
            raise ValueError(
                f"cannot read {show(text)}: it is too long or nested too deeply"
            ) from None
        spec.terms = terms
        return spec

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each term."""
        return tuple(term.name for term in self.terms)


def _read_terms(text: str) -> list[Term]:
    if len(text) > LONGEST:
        raise RecursionError
    node, nodes = ast.parse(str.strip(text), mode="eval").body, []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        nodes.append(node.right)
        node = node.left
    return [_read_term(each) for each in [node, *reversed(nodes)]]


def _read_term(node: ast.expr) -> Term:
    """Raise ValueError or TypeError if the expression is no name with literal keyword options."""
    if isinstance(node, ast.Name):
        return Term(node.id, {})
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.args:
        raise ValueError
    options: dict[str, Any] = {}
    for option in node.keywords:
        if option.arg is None or option.arg in options:
            raise ValueError  # `**something`, or the same option twice
        options[option.arg] = ast.literal_eval(option.value)
    return Term(node.func.id, options)


def _as_literal(value: Any) -> ast.expr:
    """Return an expression of a value; repr of an infinite number could not be read again."""
    if isinstance(value, tuple):
        return ast.Tuple(list(map(_as_literal, value)), ast.Load())
    if isinstance(value, list):
        return ast.List(list(map(_as_literal, value)), ast.Load())
    if isinstance(value, set) and value:
        return ast.Set(list(map(_as_literal, value)))
    if isinstance(value, dict):
        return ast.Dict(list(map(_as_literal, value)), list(map(_as_literal, value.values())))
    return ast.Constant(value)
