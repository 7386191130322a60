"""A self-contained HTML report: one file with figures, sentences and tables."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from dacbn.analysis.presentation.css import STYLE
from dacbn.analysis.presentation.section import Row, Section
from dacbn.training import write_text

PROVENANCE = "How to reproduce this"  # the last heading


def write_report(
    path: Path,
    title: str,
    sections: Sequence[Section],
    settings: Mapping[str, Mapping[str, str]],
    commands: Sequence[str],
) -> None:
    """Write a report as one HTML file that needs no network and no other files.

    Args:
        path: the file.
        title: of the page.
        sections: in order.
        settings: by heading, names and values.
        commands: the commands that reproduce the run and the report.

    Raises:
        StorageError: the file cannot be written.
    """
    heads = [section.title for section in sections] + [PROVENANCE]
    entries = "".join(f'<li><a href="#{_anchor(head)}">{escape(head)}</a></li>' for head in heads)
    body = "".join(_section(section, path.parent) for section in sections)
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<header><h1>{escape(title)}</h1></header>\n"
        f'<nav aria-label="Contents"><ol>{entries}</ol></nav>\n'
        f"<main>{body}{_provenance(settings, commands)}</main>"
        "</body></html>\n"
    )
    write_text(path, text)


def caption_of(figure: Path) -> str:
    """Read the caption that `save_figure` stored in a PNG; without one, use the file's name."""
    with Image.open(figure) as image:
        caption = str(image.info.get("Description", ""))
    return caption or figure.stem.replace("_", " ").capitalize() + "."


def _section(section: Section, folder: Path) -> str:
    findings = "".join(f"<li>{escape(finding)}</li>" for finding in section.findings)
    parts = [f"<ul>{findings}</ul>" if findings else ""]
    parts += [_figure(figure, folder) for figure in section.figures]
    parts += [_table(caption, rows) for caption, rows in section.tables.items()]
    head = f"<h2>{escape(section.title)}</h2>"
    return f'<section id="{_anchor(section.title)}">{head}{"".join(parts)}</section>\n'


def _figure(figure: Path, folder: Path) -> str:
    pixels = base64.b64encode(figure.read_bytes()).decode()
    caption = escape(caption_of(figure))
    with Image.open(figure) as image:
        width, height = image.size
    near = figure.relative_to(folder) if figure.is_relative_to(folder) else figure
    files = f"{near.with_suffix('')}.png, .svg; arrays in .npz"
    return (
        f'<figure><div class="wide"><img src="data:image/png;base64,{pixels}" alt="{caption}" '
        f'width="{width}" height="{height}" style="--natural: {width / 2:.0f}px"></div>'
        f"<figcaption>{caption} <small>{escape(files)}</small></figcaption></figure>"
    )


def _table(caption: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(
        f"<tr>{''.join(_cell(row.get(name, '')) for name in names)}</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: str | float | int) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{value if isinstance(value, int) else f"{value:.4g}"}</td>'


def _provenance(settings: Mapping[str, Mapping[str, str]], commands: Sequence[str]) -> str:
    typed = "".join(f"<pre><code>{escape(command)}</code></pre>" for command in commands)
    tables = "".join(
        f"<details><summary>{escape(head)}</summary>"
        f"{_table('', [{'setting': name, 'value': value} for name, value in values.items()])}"
        "</details>"
        for head, values in settings.items()
    )
    anchor = _anchor(PROVENANCE)
    return f'<section id="{anchor}"><h2>{PROVENANCE}</h2>{typed}{tables}</section>'


def _anchor(title: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
