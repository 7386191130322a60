"""The report is one file that needs nothing else."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from dacbn.analysis.presentation.html import caption_of, write_report
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.style import save_figure

EMPTY = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps what they hold."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        """Keep an opening tag."""
        self.tags.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Keep text."""
        self.text += data

    def all(self, tag):
        """Return the attributes of all tags of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def draw(folder, name, caption=""):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return save_figure(figure, folder / name, {"line": np.arange(2)}, caption)[0]


@pytest.fixture
def page(tmp_path):
    sections = [
        Section("Verdict", ("All is well & <good>.",)),
        Section(
            "Curves: é",
            figures=(draw(tmp_path / "figures", "curves", "Losses over steps: é → 0."),),
            tables={"Runs": [{"run": "a", "n": 2, "x": 0.123456}, {"run": "b", "y": ""}]},
        ),
    ]
    path = tmp_path / "deeper" / "report.html"
    write_report(path, "a → b", sections, {"Settings": {"lr": "<0.1>"}}, ["dacbn train --lr 0.1"])
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader.open
    return reader


def test_nothing_is_fetched_from_elsewhere(page):
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    style = next(text for text in re.findall(r":root.*", page.text, re.DOTALL))
    assert "url(" not in style and "@import" not in style
    assert not page.all("script") and not page.all("link")


def test_figures_are_inside_with_their_captions(page, tmp_path):
    (image,) = page.all("img")
    pixels = base64.b64decode(image["src"].partition(",")[2])
    assert pixels == (tmp_path / "figures" / "curves.png").read_bytes()
    assert image["alt"] == "Losses over steps: é → 0."
    assert int(image["width"]) == 2 * 50


def test_the_contents_lead_to_every_section(page):
    targets = [link["href"].removeprefix("#") for link in page.all("a")]
    places = [section["id"] for section in page.all("section")]
    assert targets == places == ["verdict", "curves-é", "how-to-reproduce-this"]


def test_words_are_shown_as_they_are(page):
    assert "All is well & <good>." in page.text and "<0.1>" in page.text
    assert "dacbn train --lr 0.1" in page.text
    for cell in ("0.1235", "run", "2"):
        assert cell in page.text


def test_both_themes_and_narrow_pages_are_thought_of(page):
    assert "prefers-color-scheme: dark" in page.text and "@media (max-width" in page.text
    assert any("width=device-width" in each.get("content", "") for each in page.all("meta"))


def test_a_figure_without_a_caption_is_called_by_its_name(tmp_path):
    assert caption_of(draw(tmp_path, "class_balance")) == "Class balance."
    assert caption_of(draw(tmp_path, "other", "What it shows.")) == "What it shows."


def test_the_same_figure_is_the_same_file(tmp_path):
    first, second = (draw(tmp_path / name, "curves", "A caption.") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".svg").read_bytes() == second.with_suffix(".svg").read_bytes()
