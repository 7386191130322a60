"""Render tables as Markdown and LaTeX."""

from collections.abc import Iterable

from dacbn.comparison.tables import Table

LATEX = {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"±": r"$\pm$", "−": "$-$", "–": "--", "→": r"$\to$"},  # noqa: RUF001  # signs
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}


def to_markdown(table: Table) -> str:
    """Return title, caption and table as Markdown, with aligned columns."""
    lines = [table.headings, *table.rows]
    lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    text = "\n".join(_row(line, widths) for line in lines)
    return f"## {table.title}\n\n{table.caption}\n\n{text}\n"


def _row(cells: list[str], widths: list[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def to_plain(text: str) -> str:
    """Take from text what Markdown, HTML in it, or a terminal would obey."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return "".join(f"\\{character}" if character in "<[`" else character for character in text)


def to_latex(table: Table) -> str:
    """Return a LaTeX table that needs the package booktabs."""
    columns = "l" * len(table.headings)
    lines = [r"\begin{table}", r"\centering\small", rf"\caption{{{escape(table.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(table.headings), r"\midrule"]
    lines += [_line(row) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    # braces: a bracket at the start of a row would be read as an option of the row before
    return " & ".join(f"{{{escape(cell)}}}" for cell in cells) + r" \\"


def escape(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(LATEX.get(character, character) for character in text)
