"""Text that a terminal shows and does not obey: names of files and classes may hold escapes."""


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
    """Print lines for people."""
    print(*map(plain, lines), sep="\n", flush=True)
