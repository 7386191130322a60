"""Names in figures are shown as they are written, and no name keeps a figure from being drawn."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

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


def test_numbers_keep_their_exponents_and_harmless_names_change_nothing(tmp_path: Path) -> None:
    figure = draw(["cup", "pen", "a & b"])
    before = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    save_figure(figure, tmp_path / "figure", {}, "cups")
    assert "10^{" in figure.axes[0].get_yticklabels()[1].get_text()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == before
