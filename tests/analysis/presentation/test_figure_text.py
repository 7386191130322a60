"""Names in figures are shown as they are written, and no name keeps a figure from being drawn."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dacbn.analysis.presentation import fonts
from dacbn.analysis.presentation.html import caption_of
from dacbn.analysis.presentation.style import save_figure

NAMES = ["caf\udce9 $x_2$", "$\\nothing$", "a\x1b[31mred"]
SHOWN = ["caf\\udce9 $x_2$", "$\\nothing$", "a\\x1b[31mred"]


def draw(names):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1, 2], [1e-4, 1.0, 1e4], label=names[0])
    axes.set_yscale("log")
    axes.set_xticks(range(3), names)
    axes.set_title(names[0])
    axes.text(1, 1, names[1])
    axes.legend()
    return figure


def test_names_are_shown_as_they_are_written(tmp_path: Path) -> None:
    figure = draw(NAMES)
    axes = figure.axes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that fonts lack
        files = save_figure(figure, tmp_path / "figure", {NAMES[0]: np.arange(3)}, NAMES[0])
    assert [label.get_text().replace(r"\$", "$") for label in axes.get_xticklabels()] == SHOWN
    assert axes.get_title().replace(r"\$", "$") == SHOWN[0]
    with np.load(files[2]) as arrays:
        assert arrays.files == [SHOWN[0]]
    assert "$x_2$" in files[1].read_text(encoding="utf-8")


def test_other_scripts_have_a_font_that_has_them_or_a_number(tmp_path, monkeypatch):
    """Matplotlib 3.11 draws boxes and warns; its last resort, which it lists, has only boxes."""
    for known in (fonts._families(), {}):
        monkeypatch.setattr(fonts, "_families", lambda known=known: known)
        figure = draw(["犬", "猫 two", "dog"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            files = save_figure(figure, tmp_path / "figure", {}, "Animals.")
        shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        caption = caption_of(files[0])
        if any(ord("犬") in each for each in known.values()):
            assert shown == ["犬", "猫 two", "dog"] and caption == "Animals."
        else:
            number = shown[0]
            assert number.startswith("#") and f"{number}: 犬" in caption
            assert shown[1].endswith(" two") and shown[2] == "dog"


def test_a_font_with_the_characters_is_found_and_the_last_resort_is_none(monkeypatch):
    characters = {"one": frozenset(map(ord, "犬猫")), "two": frozenset(map(ord, "犬猫भ"))}
    monkeypatch.setattr(fonts, "_families", lambda: characters)
    assert fonts.find_fallbacks("dog, café") == ((), frozenset())
    assert fonts.find_fallbacks("犬 dog भ") == (("two",), frozenset())
    assert fonts.find_fallbacks("犬ฏ") == (("one",), frozenset("ฏ"))
    monkeypatch.undo()
    assert not any(name.startswith(fonts.NO_FONT) for name in fonts._families())


def test_numbers_keep_their_exponents_and_harmless_names_change_nothing(tmp_path: Path) -> None:
    figure = draw(["cup", "pen", "a & b"])
    before = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    save_figure(figure, tmp_path / "figure", {}, "cups")
    assert "10^{" in figure.axes[0].get_yticklabels()[1].get_text()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == before
