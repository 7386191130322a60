"""How messages spell settings: as arguments in Python, as options on the command line."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

Spelling: TypeAlias = Callable[[str, Any], str]


def spell(name: str, value: Any = None) -> str:
    """Spell a setting as the user would type it, with a value to give it if there is one.

    Example:
        >>> f"set {spell('clip_norm', 1)}"
        'set clip_norm=1'
        >>> with spelling(as_option):
        ...     f"set {spell('clip_norm', 1)}"
        'set --clip-norm 1'
    """
    return _spelling.get()(name, value)


def as_argument(name: str, value: Any = None) -> str:
    """Spell a setting for Python."""
    return name if value is None else f"{name}={value!r}"


def as_option(name: str, value: Any = None) -> str:
    """Spell a setting for the command line."""
    words = [_dashed(name)] if value is None else to_words(name, value)
    return " ".join(map(quote, words))


_spelling: ContextVar[Spelling] = ContextVar("spelling", default=as_argument)


def chosen_spelling() -> Spelling:
    """Return how messages spell settings here, for a process that works for this one."""
    return _spelling.get()


@contextmanager
def spelling(chosen: Spelling) -> Iterator[None]:
    """Spell settings in this way for as long as the context lasts."""
    token = _spelling.set(chosen)
    try:
        yield
    finally:
        _spelling.reset(token)


@contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Spell arguments by the names of the settings that their values come from."""
    outer = _spelling.get()
    with spelling(lambda name, value: outer(names.get(name, name), value)):
        yield


def to_words(name: str, value: Any) -> list[str]:
    """Return the words that give an option on the command line a value.

    Example:
        >>> to_words("classifier", (64, 32)), to_words("compile", False)
        (['--classifier', '64', '32'], ['--no-compile'])
    """
    if isinstance(value, bool):
        return [_dashed(name if value else f"no_{name}")]
    values = value if isinstance(value, tuple) else (value,)
    return [_dashed(name), *map(str, values)]


def quote(word: str) -> str:
    """Quote a word for a shell, in double quotes if it contains single ones."""
    plain = "'" in word and not set(word) & set('"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"
