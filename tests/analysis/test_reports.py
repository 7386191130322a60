"""One call makes the whole report, and an analysis of one's own appears in it."""

import json
import os
from inspect import signature

import numpy as np
import pytest
from matplotlib.figure import Figure

import dacbn.analysis
from dacbn import DomainAdapter
from dacbn.analysis import Section, analyses
from dacbn.analysis.helping_process import start
from dacbn.analysis.presentation.style import save_figure
from dacbn.commands import analyse

# the run's images are in memory, which a report that reads a folder cannot show
pytestmark = pytest.mark.filterwarnings("ignore:cannot show the images")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    sizes = {"source_batch_size": 4, "target_batch_size": 4}
    adapter = DomainAdapter(norm="batch_norm", steps=4, log_every=2, device="cpu", **sizes)
    adapter.fit((images, np.arange(12) % 2), images, run=folder)
    return folder


@pytest.fixture
def few_analyses(monkeypatch):
    """Keep two analyses, and forget afterwards what a test registers."""
    kept = {name: analyses[name] for name in ("verdict", "training curves")}
    monkeypatch.setattr(analyses, "_entries", kept)


def test_a_report_holds_its_page_sections_arrays_and_verdict(run, tmp_path, few_analyses):
    made = dacbn.analysis.report(str(run), output=tmp_path, quiet=True)
    assert made.path == tmp_path / "report.html" and made.figures == tmp_path / "figures"
    verdict, curves = made.sections
    assert made.verdict == verdict.findings and verdict.title == "Verdict"
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = [[row["step"], row["classification"]] for row in records if "classification" in row]
    assert curves.arrays["curves"]["classification"].tolist() == expected
    assert all(
        sentence in made.path.read_text() for sentence in made.verdict if "'" not in sentence
    )


@pytest.mark.parametrize("cores", [1, 2])
def test_a_figure_that_cannot_be_drawn_is_named_and_the_others_are_drawn(
    run, tmp_path, few_analyses, monkeypatch, capsys, cores
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "large.svg").write_text("of an earlier report")

    @analyses.add("too large", order=1000, needs=("folder",))
    def draw_too_large(folder):
        start(os.getpid).result()
        return Section("Large", figures=(save_figure(Figure((10**6, 1)), folder / "large", {})[0],))

    made = dacbn.analysis.report(run, output=tmp_path)
    assert sorted(each.name for each in made.figures.glob("*.[ps][nv]g")) == [
        "curves.png",
        "curves.svg",
    ]
    *_, curves, large = made.sections
    assert len(curves.figures) == 1 and large.figures == ()
    assert "The figure large could not be drawn: Image size" in large.findings[0]
    assert "could not be drawn: Image size" in made.path.read_text()
    assert "\nlarge: not drawn: Image size" in capsys.readouterr().out


def test_the_verdict_does_not_repeat_how_a_page_against_another_run_opens(
    run, tmp_path, few_analyses, monkeypatch
):
    def opening(_run, _outputs, baseline=None):
        return [f"Seventy right, against {baseline and baseline.name}."]

    for place in ("verdict.section", "reports"):
        monkeypatch.setattr(f"dacbn.analysis.{place}.opening", opening)
    made = dacbn.analysis.report(run, against=run, output=tmp_path, quiet=True)
    assert made.verdict[0] == "Seventy right, against run."
    assert made.path.read_text().count("Seventy right") == 1


def test_an_analysis_of_ones_own_appears_in_its_order(run, few_analyses, capsys):
    @analyses.add("toy", order=5, needs=("curves", "classes"), optional=("outputs",))
    def draw_toy(curves, classes, outputs=None):
        assert outputs is None
        return Section("A toy", (f"{len(curves['classification'])} losses of {classes[1]}.",))

    @analyses.add("needs images", order=6, needs=("outputs",))
    def draw_outputs(outputs):
        raise AssertionError("there are none")

    @analyses.add("does not apply", order=7, needs=("config",))
    def draw_nothing(config):
        raise ValueError(f"it takes 100 steps, not {config.steps}")

    made = dacbn.analysis.report(run)
    assert [each.title for each in made.sections[:2]] == ["Verdict", "A toy"]
    page = made.path.read_text()
    assert "<h2>A toy</h2>" in page and "2 losses of 1." in page
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("toy: 0.") for line in lines)
    assert "needs images: left out: it needs outputs" in lines
    assert "does not apply: left out: it takes 100 steps, not 4" in lines


def test_a_quiet_report_prints_nothing(run, tmp_path, few_analyses, capsys):
    dacbn.analysis.report([run], output=tmp_path, quiet=True)
    assert capsys.readouterr().out == ""


def test_the_command_has_the_options_and_defaults_of_the_function():
    function = dict(signature(dacbn.analysis.report).parameters)
    command = signature(analyse).parameters
    assert list(command) == [name for name in function if name != "quiet"]
    assert all(each.default == function[name].default for name, each in command.items())
