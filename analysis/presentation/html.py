"""A self-contained HTML report: one file with figures, sentences and tables."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from dacbn.analysis.presentation import gallery_html
from dacbn.analysis.presentation.css import STYLE
from dacbn.analysis.presentation.plots import library
from dacbn.analysis.presentation.section import Row, Section
from dacbn.analysis.presentation.terms import TERMS
from dacbn.training import write_text

MEANINGS = "What the numbers mean"  # the heading of the glossary
PROVENANCE = "How to reproduce this"  # the last heading


def write_report(
    path: Path,
    title: str,
    sections: Sequence[Section],
    settings: Mapping[str, Mapping[str, str]],
    commands: Sequence[str],
    opening: Sequence[str] = (),
) -> None:
    """Write a report as one HTML file that needs no network and no other files.

    Args:
        path: the file.
        title: of the page.
        sections: in order.
        settings: by heading, names and values.
        commands: the commands that reproduce the run and the report.
        opening: the sentences that the page begins with.

    Raises:
        StorageError: the file cannot be written.
    """
    used = [name for name in TERMS if any(name in section.terms for section in sections)]
    heads = [section.title for section in sections] + [MEANINGS] * bool(used) + [PROVENANCE]
    entries = "".join(f'<li><a href="#{_anchor(head)}">{escape(head)}</a></li>' for head in heads)
    body = "".join(_section(section, path.parent) for section in sections)
    first = "".join(f'<p class="opening">{escape(each)}</p>' for each in opening)
    scripts = library() if any(section.plot for section in sections) else ""
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>{scripts}</head>\n<body>"
        f"<header><h1>{escape(title)}</h1>{first}</header>\n"
        f'<nav aria-label="Contents"><ol>{entries}</ol></nav>\n'
        f"<main>{body}{_glossary(used)}{_provenance(settings, commands)}</main>"
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
    parts += map(gallery_html.to_html, section.galleries)
    parts.append(section.plot)
    parts += [_figure(figure, folder) for figure in section.figures]
    parts += [_table(caption, rows) for caption, rows in section.tables.items()]
    parts.append(_meanings(section.terms))
    head, body = f"<h2>{escape(section.title)}</h2>", "".join(parts)
    if section.folded:
        head, body = "", f"<details><summary>{head}</summary>{body}</details>"
    return f'<section id="{_anchor(section.title)}">{head}{body}</section>\n'


def _figure(figure: Path, folder: Path) -> str:
    pixels = base64.b64encode(figure.read_bytes()).decode()
    caption = escape(caption_of(figure))
    with Image.open(figure) as image:
        width, height = image.size
    near = figure.relative_to(folder) if figure.is_relative_to(folder) else figure
    files = f"{near.with_suffix('')}.png, .svg; arrays in .npz"
    # a touch shows it as large as it is, in a box that scrolls
    return (
        f'<figure class="chart" tabindex="0"><div class="wide">'
        f'<img src="data:image/png;base64,{pixels}" alt="{caption}" '
        f'width="{width}" height="{height}" style="--natural: {width / 2:.0f}px"></div>'
        f"<figcaption>{caption} <small>{escape(files)}</small></figcaption></figure>"
    )


def _table(caption: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    known = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in known if any(row.get(name, "") != "" for row in rows)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(
        f"<tr>{''.join(_cell(row.get(name, '')) for name in names)}</tr>" for row in rows
    )
    # the caption stays where the table scrolls
    return (
        f'<p class="caption">{escape(caption)}</p>'
        f'<div class="wide" tabindex="0"><table aria-label="{escape(caption)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: str | float | int) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{value if isinstance(value, int) else f"{value:.4g}"}</td>'


def _meanings(names: Sequence[str]) -> str:
    """Say in a sentence what each number tells, with a link to its definition."""
    return "".join(
        f'<p class="term"><a href="#{_anchor(MEANINGS + " " + name)}">{escape(name)}</a>: '
        f"{escape(TERMS[name].sentence)}</p>"
        for name in names
    )


def _glossary(names: Sequence[str]) -> str:
    if not names:
        return ""
    entries = "".join(
        f'<dt id="{_anchor(MEANINGS + " " + name)}">{escape(name)}</dt>'
        f"<dd>{escape(TERMS[name].sentence)} Computed as: {escape(TERMS[name].definition)}.</dd>"
        for name in names
    )
    return f'<section id="{_anchor(MEANINGS)}"><h2>{MEANINGS}</h2><dl>{entries}</dl></section>\n'


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
