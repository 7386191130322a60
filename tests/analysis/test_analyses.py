"""Analyses register themselves, run in order, and are left out with a reason."""

from types import SimpleNamespace

import pytest

import dacbn.analysis
from dacbn.analysis.analyses import Analyses, analyses, comparisons
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.run_results import ComparedResults, ReportOptions, RunResults
from dacbn.training import RunInfo, TrainConfig

KNOWN = SimpleNamespace(outputs="outputs", scores=None, folder="folder")


@pytest.fixture
def registry():
    """Register three analyses, the last one first."""
    registry = Analyses("analysis")

    @registry.add("last", order=20, needs=("outputs", "folder"), optional=("scores",))
    def draw_last(outputs, folder, scores="default"):
        return Section("Last", (f"{outputs}, {folder}, {scores}",))

    @registry.add("first", order=10, needs=("outputs",))
    def draw_first(outputs):
        return [Section("First"), Section("Second")]

    @registry.add("without scores", order=15, needs=("scores",))
    def draw_scores(scores):
        raise AssertionError("there are none")

    return registry


def test_sections_are_sorted_by_place_and_get_what_they_need(registry):
    lines = []
    sections = registry.draw(KNOWN, lines.append)
    assert [each.title for each in sections] == ["First", "Second", "Last"]
    assert sections[-1].findings == ("outputs, folder, None",)
    first, second, third = lines
    assert first.startswith("first: ") and first.endswith(" s") and third.startswith("last: ")
    assert second == "without scores: left out: it needs scores"


def test_what_is_computed_meanwhile_is_started_first_and_drawn_last(registry):
    started, lines = [], []

    class Results:
        outputs, scores, folder = "outputs", None, "folder"

        @property
        def plane(self):
            started.append(list(lines))
            return "plane"

    @registry.add("slow", order=12, needs=("plane",), meanwhile=True)
    def draw_slow(plane):
        return Section("Slow", (plane,))

    sections = registry.draw(Results(), lines.append)
    assert [each.title for each in sections] == ["First", "Second", "Slow", "Last"]
    assert started[0] == [] and lines[-1].startswith("slow: ")


def test_an_analysis_that_does_not_apply_is_left_out_with_its_reason(registry):
    @registry.add("picky", order=0, needs=("outputs",))
    def draw_picky(outputs):
        raise ValueError("it takes\n two outputs")

    lines = []
    assert len(registry.draw(KNOWN, lines.append)) == 3
    assert lines[0] == "picky: left out: it takes two outputs"


def test_a_reason_that_several_analyses_share_is_written_once(registry):
    for name, order in (("one", 0), ("two", 1)):

        @registry.add(name, order=order, needs=("outputs",))
        def draw(outputs):
            raise ValueError("no layer has a mixture")

    lines = []
    registry.draw(KNOWN, lines.append)
    assert lines[:2] == ["one: left out: no layer has a mixture", "two: left out, as said above"]


def test_mistakes_in_registering_are_refused(registry):
    with pytest.raises(ValueError, match="analysis 'typo' has no argument outpust"):
        registry.add("typo", order=0, needs=("outpust",))(lambda outputs: Section("Typo"))
    with pytest.raises(ValueError, match="analysis 'first' is registered twice"):
        registry.add("first", order=0, needs=("outputs",))(lambda outputs: Section("Again"))


def test_every_need_is_a_result_that_runs_have(tmp_path):
    options = ReportOptions(tmp_path, 1, 0, (), "cpu")
    run = RunResults(tmp_path, RunInfo(TrainConfig(), ("a",), 32), options, print)
    results = {analyses: run, comparisons: ComparedResults({"run": run}, options, print)}
    for registry, holder in results.items():
        known = set(dir(type(holder))) | set(vars(holder))
        for name in registry:
            assert {*registry[name].needs, *registry[name].optional} <= known, name


def test_functions_of_all_analyses_can_be_called_from_a_notebook():
    for name in analyses:
        draw = analyses[name].draw
        assert getattr(dacbn.analysis, draw.__name__) is draw
