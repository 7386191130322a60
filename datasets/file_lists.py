"""Read the lines of a list of files: a path, and a label behind it."""

import shlex
from pathlib import Path

from dacbn.datasets.decoding import SUFFIXES


def split_line(line: str) -> list[str]:
    """Split a line into a path and a label, or a path alone.

    Both may contain spaces in double quotes, and the path without them too.

    Example:
        >>> split_line("my photos/1.jpg 3"), split_line('"a b.jpg" "tennis ball"')
        (['my photos/1.jpg', '3'], ['a b.jpg', 'tennis ball'])
        >>> split_line("my photos/1.jpg")
        ['my photos/1.jpg']
    """
    words = _quoted(line) if line.startswith('"') or line.endswith('"') else None
    if words is None:
        return [line] if _is_image(line) else line.rsplit(None, 1)
    if len(words) == 1 or (_is_image(words[-1]) and not line.endswith('"')):
        return [" ".join(words)]
    return [" ".join(words[:-1]), words[-1]]


def _quoted(line: str) -> list[str] | None:
    """Return the words of a line with quotes; None if these do not end."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.quotes, lexer.escape, lexer.commenters = True, '"', "", ""
    try:
        return list(lexer)
    except ValueError:
        return None


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES
