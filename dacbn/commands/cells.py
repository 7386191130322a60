"""Text for the cells of a table that terminals and spreadsheets show."""


def to_cell(text: str) -> str:
    """Escape what a terminal would obey, and what a spreadsheet would compute.

    Control characters become escapes as in Python's strings; a cell that would begin a formula gets
    a single quote before it, as spreadsheets write text.

    Example:
        >>> to_cell("=1+1"), to_cell("-1"), to_cell("é 1.png")
        ("'=1+1", '-1', 'é 1.png')
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    formula = text[:1] in ("=", "+", "@") or (text[:1] == "-" and not _is_number(text))
    return f"'{text}" if formula else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
