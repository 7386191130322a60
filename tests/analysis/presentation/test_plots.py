"""Plots that can be touched hold what they show, once, and say what they need."""

import sys

import numpy as np
import pytest
from planted_answers import answers, subject_of

from dacbn.analysis.domains.embedding_sections import draw_features
from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.domains.touchable import can_be_touched, draw_touchable
from dacbn.analysis.presentation.html import write_report
from dacbn.analysis.presentation.plots import library
from dacbn.analysis.presentation.section import Section

CLASSES = ("cup</script><script>alert(1)</script>", "pen\udce9")


@pytest.fixture
def features():
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(2), 60)
    outputs = {"source": answers(shares, shares.argmax(1)), "target": answers(shares)}
    return subject_of(outputs, CLASSES), outputs


def test_names_cannot_end_the_script_and_the_library_is_there_once(features, tmp_path):
    pytest.importorskip("bokeh")
    rows = {"source": np.arange(60), "target": np.arange(60)}
    plot = draw_touchable(np.random.default_rng(0).normal(size=(120, 2)), rows, *features)
    assert "<script>alert" not in plot and "</script><script>" not in plot
    sections = [Section("One", plot=plot), Section("Two", plot=plot)]
    write_report(tmp_path / "page.html", "a", sections, {}, [])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("Bokeh version") <= 1 and len(library()) < 1_500_000
    assert len(page) < len(library()) + 2 * len(plot) + 20_000


def test_without_bokeh_the_figure_has_to_do(features, tmp_path, monkeypatch):
    monkeypatch.setattr("dacbn.analysis.domains.embedding_sections.can_be_touched", lambda: False)
    subject, outputs = features
    section = draw_features(subject, outputs, Scores(1.0, 0.5, float("nan")), tmp_path)
    assert section.plot == "" and section.figures[0].exists()
    monkeypatch.setitem(sys.modules, "bokeh", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dacbn\[report\]'"):
        library()


def test_whether_plots_can_be_touched_is_known_without_an_import():
    assert can_be_touched() in (True, False)
