"""Fill the marks in pages with tables and help texts of the installed package.

A mark is a line of its own: `{{ table norms: ucb_norm uan }}` becomes a table of these normalisers,
`{{ table norms }}` one of all that no other mark names, `{{ help train }}` what
`dacbn train --help` prints, `{{ help benchmark: streams }}` what `dacbn benchmark streams --help`
does, `{{ file RESULTS }}` the text of RESULTS.md. mkdocs calls `on_page_markdown` and `on_files`.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dacbn.cli import main
from dacbn.datasets import datasets
from dacbn.estimates import estimators as accuracy_estimators
from dacbn.export import formats
from dacbn.label_shift import estimators
from dacbn.methods import methods, source_free_methods, test_time_methods
from dacbn.norms import norms, weights
from dacbn.recipes import recipes
from dacbn.registry import Registry
from dacbn.training import validators

PAGES = Path(__file__).parent / "pages"
ROOT = Path(__file__).parents[1]
FIGURES = ROOT / ".github"  # those that the README shows too
WIDTH = "92"  # columns of help texts

REGISTRIES: dict[str, Registry[Any]] = {
    "norms": norms,
    "weights": weights,
    "methods": methods,
    "source-free": source_free_methods,
    "test-time": test_time_methods,
    "label-shift": estimators,
    "estimators": accuracy_estimators,
    "validators": validators,
    "datasets": datasets,
    "recipes": recipes,
    "formats": formats,
}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
MARK = re.compile(r"^\{\{ (\w+) ([\w-]+)(?:: ([\w ]+))? \}\}$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page."""
    return MARK.sub(_fill, markdown)


def on_files(files: Any, config: Any) -> Any:
    """Add the README's figures to those of the pages."""
    from mkdocs.structure.files import File  # the rest of this file works without mkdocs

    for figure in sorted(FIGURES.glob("*.png")):
        files.append(File.generated(config, f"images/{figure.name}", abs_src_path=str(figure)))
    return files


def table(kind: str, names: list[str]) -> str:
    """Write a Markdown table of some entries of a registry.

    Raises:
        UnknownNameError: there is no such entry.
    """
    rows = ["| name | what it does | paper |", "|---|---|---|"]
    for name in names:
        about = REGISTRIES[kind].describe(name)
        lines = [about["does"]]
        lines += [f"Needs {about['needs']}."] if "needs" in about else []
        options = about.get("options", "") if kind != "datasets" else ""
        lines += [f"`{option}`" for option in [options.replace("|", "\\|")] if option]
        rows.append(f"| `{name}` | {'<br>'.join(lines)} | {citation(about.get('paper', ''))} |")
    return "\n".join(rows)


def citation(paper: str) -> str:
    """Shorten `Faye, Azzag and Lebbah, "Title", 2024, https://…` to `[Faye et al. 2024](https://…)`.

    Several papers are separated by semicolons; one without an address is left out.
    """
    links = []
    for part in paper.split(";"):
        address = re.search(r"https?://[^\s,()]+[^\s,.();]", part)
        authors = re.split(r": | by | of ", part.partition('"')[0].partition("http")[0])[-1]
        authors = re.sub(r"^[^A-Z]*", "", authors).strip(" ,.")
        year = re.search(r"\b(?:19|20)\d\d\b", part.partition("http")[0])
        if address is None:
            continue
        people = re.split(r", | and | et al", authors)
        others = {1: "", 2: f" and {people[-1]}"}.get(len(people), " et al.")
        others = " et al." if "et al" in authors else others
        text = f"{people[0]}{others} {year[0]}" if year and authors else "paper"
        links.append(f"[{text}]({address[0]})")
    return ", ".join(links)


def help_of(command: str) -> str:
    """Return what `dacbn COMMAND --help` prints."""
    words = ["dacbn", "--help"] if command == "dacbn" else ["dacbn", *command.split(), "--help"]
    printed = io.StringIO()
    plain = {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    with (
        patch.dict(os.environ, plain),
        patch.object(sys, "argv", words),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main()
    lines = COLOURS.sub("", printed.getvalue()).splitlines()
    return "\n".join(["```text", *(line.rstrip() for line in lines), "```"])


def text_of(name: str) -> str:
    """Return a Markdown file of the repository, with its links as pages need them."""
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    return text.replace("](docs/pages/", "](")


def others(kind: str) -> list[str]:
    """List the entries of a registry that no page names in a mark."""
    named = {name for found, names in _marks() if found == kind for name in names}
    return [name for name in REGISTRIES[kind] if name not in named]


def _marks() -> Iterator[tuple[str, list[str]]]:
    for page in sorted(PAGES.glob("*.md")):
        for what, kind, names in MARK.findall(page.read_text(encoding="utf-8")):
            if what == "table":
                yield kind, names.split()


def _fill(mark: re.Match[str]) -> str:
    what, kind, names = mark.groups()
    if what == "help":
        return help_of(f"{kind} {names}" if names else kind)
    if what == "file":
        return text_of(kind)
    if what != "table" or kind not in REGISTRIES:
        raise ValueError(f"{mark[0]}: write table KIND, help COMMAND or file NAME")
    chosen = names.split() if names else others(kind)
    return table(kind, chosen) if chosen else "None."
