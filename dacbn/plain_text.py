"""Text that a terminal shows and does not obey: names of files and classes may hold escapes."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def plain(text: object) -> str:
    r"""Write control characters, and what is no Unicode, as escapes of Python's strings.

    Line breaks and tabs stay.

    Example:
        >>> plain("a\x1b[31mred\udce9.png")
        'a\\x1b[31mred\\udce9.png'
    """
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in str(text)
    )


def say(*lines: object) -> None:
    """Print lines for people; if their reader has gone, the work that they are about goes on."""
    try:
        print(*map(plain, lines), sep="\n", flush=True)
    except OSError:
        silence(sys.stdout)


def silence(stream: TextIO) -> None:
    """Let a stream whose reader has gone lead nowhere, so that no later output fails."""
    with suppress(OSError), open(os.devnull, "w") as nowhere:  # a stream may have no number
        os.dup2(nowhere.fileno(), stream.fileno())
