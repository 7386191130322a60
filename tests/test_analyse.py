"""dacbn analyse: one run is analysed, several are compared, mistakes are one line."""

import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from dacbn import DomainAdapter
from dacbn.analysis import analyses
from dacbn.analysis.presentation.html import MEANINGS
from dacbn.commands import analyse
from dacbn.datasets import load_sample
from dacbn.training import read_records, run_network, train_command

SMALL = {"steps": 4, "source_batch_size": 8, "target_batch_size": 8, "log_every": 2}
SMALL |= {"device": "cpu", "seed": 5}


def train(folder, **options):
    adapter = DomainAdapter(**{**SMALL, **options})
    tests = {"source_test": "digits", "target_test": "color_digits"}
    return adapter.fit("digits", "color_digits", run=folder, **tests)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Train without and with adaptation."""
    root = tmp_path_factory.mktemp("runs")
    train(root / "plain", method="source_only", norm="batch_norm")
    train(root / "adapted", method="dann")
    return root


@pytest.fixture(scope="module")
def report(runs):
    """Analyse a run, once for all tests; return the printed lines and the page."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        lines = []
        monkeypatch.setattr("dacbn.analysis.presentation.style.DPI", 40)  # for time
        monkeypatch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(words)))
        analyse((runs / "adapted",), images=50, layers=("*.layers.2",), device="cpu")
    return "\n".join(lines), (runs / "adapted" / "report.html").read_text(encoding="utf-8")


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_all_that_applies_is_in_the_report(runs, report):
    heads = headings(report[1])
    assert heads[0] == "Verdict" and heads[-1] == "How to reproduce this"
    for head in ("Training curves", "Training images", "Predictions", "Calibration"):
        assert head in heads
    for name in ("curves", "domains", "confusion", "embedding", "gradients", "cluster_occupancy"):
        for suffix in (".png", ".svg", ".npz"):
            assert (runs / "adapted" / "figures" / f"{name}{suffix}").exists()


def test_the_verdict_is_printed_with_the_place_of_the_report(runs, report):
    output, page = report
    last = read_records(runs / "adapted")[-1]
    accuracy = f"Target: {last['target_test_accuracy']:.1%} right ("
    assert accuracy in output and accuracy in page
    assert output.endswith(f"report: {runs / 'adapted' / 'report.html'}")
    assert re.search(r"^features: \d+\.\d s$", output, re.MULTILINE)


def test_what_does_not_apply_is_left_out_with_a_reason(report):
    assert re.search(r"^movement of the clusters: left out: .+", report[0], re.MULTILINE)


def test_the_report_says_how_to_make_it_again(runs, report):
    command = train_command(DomainAdapter.from_run(runs / "adapted").config)
    assert html.escape(command) in report[1] and "--steps 4 " in command
    assert f"dacbn analyse {runs / 'adapted'} --images 50 --seed 0" in report[1]


def test_features_before_and_after_share_the_plane(runs, report):
    with np.load(runs / "adapted" / "figures" / "embedding.npz") as arrays:
        assert {name.partition("/")[0] for name in arrays.files} == {"before training", "trained"}
        assert len(arrays["trained/points"]) == 100


def test_chosen_layers_are_embedded_too(runs, report):
    assert "Activations after chosen layers" in headings(report[1])
    arrays = np.load(runs / "adapted" / "figures" / "embedding_layers.npz")
    assert arrays["backbone.layers.2/points"].shape == (100, 2)


@pytest.mark.parametrize("norm", ["random_gate_norm", "frozen_gate_norm"])
def test_controls_have_clusters_too(norm, tmp_path, monkeypatch):
    monkeypatch.setattr("dacbn.analysis.presentation.style.DPI", 40)
    only = {name: analyses[name] for name in ("verdict", "clusters")}  # for time
    monkeypatch.setattr(analyses, "_entries", only)
    train(tmp_path / "run", method="source_only", norm=norm)
    analyse((tmp_path / "run",), images=20, device="cpu")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert headings(page) == ["Verdict", "Clusters", MEANINGS, "How to reproduce this"]
    with np.load(tmp_path / "run" / "figures" / "cluster_occupancy.npz") as arrays:
        shares = arrays["backbone.layers.2/by_domain"]
    assert shares.shape == (2, 3) and np.allclose(shares.sum(1), 1)


def test_a_layer_that_does_not_exist_is_refused_before_the_work(runs, capsys):
    with pytest.raises(ValueError, match=r"named like 'layer9'; there are: .*layers\.2"):
        analyse((runs / "plain",), layers=("*.2", "layer9"), device="cpu")
    assert capsys.readouterr().out == ""


def test_runs_are_compared(runs, capsys, monkeypatch):
    monkeypatch.setattr("dacbn.analysis.presentation.style.DPI", 40)
    analyse((runs / "plain", runs / "adapted"), images=60, device="cpu")
    folder = runs / "comparison"
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().out
    page = (folder / "report.html").read_text(encoding="utf-8")
    heads = headings(page)
    assert heads[0] == "Runs side by side" and len(heads) == 7
    assert "Target images whose answer changed" in heads
    assert "source_only, batch_norm" in page and "proxy distance" in page
    with np.load(folder / "figures" / "embedding.npz") as arrays:
        names = {name.partition("/")[0] for name in arrays.files}
    assert len(names) == 2 and "before training" not in names


def test_images_whose_answer_changed_since_another_run_are_shown(runs, tmp_path, monkeypatch):
    only = {name: analyses[name] for name in ("verdict", "changed answers")}
    monkeypatch.setattr(analyses, "_entries", only)
    options = {"images": 60, "device": "cpu", "output": tmp_path, "against": runs / "plain"}
    analyse((runs / "adapted",), **options)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert headings(page)[1] == "Target images whose answer changed"
    images = load_sample("color_digits", 60, train=False, root=Path("data"), size=32).images
    plain, adapted = (
        run_network(DomainAdapter.from_pretrained(run, "cpu").network, images, 1, "cpu")
        for run in (runs / "plain", runs / "adapted")
    )
    changed = int((plain.logits.argmax(1) != adapted.logits.argmax(1)).sum())
    assert f"{changed} of 60 answers differ from those of {runs / 'plain'}" in page
    assert f"--against {runs / 'plain'}" in page
    with pytest.raises(ValueError, match="against is for one run"):
        analyse((runs / "adapted", runs / "plain"), against=runs / "plain")
    with pytest.raises(ValueError, match="is no run folder"):
        analyse((runs / "adapted",), against=tmp_path)


def test_runs_of_other_domains_share_no_images(runs, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(runs / "plain", other)
    card = json.loads((other / "config.json").read_text())
    card["training"]["target"] = "street_digits"
    (other / "config.json").write_text(json.dumps(card))
    with pytest.warns(UserWarning, match="has another target: its images cannot be shared"):
        analyse((runs / "plain", other), output=tmp_path / "report", device="cpu")
    assert (tmp_path / "report" / "figures" / "comparison.png").exists()


def test_a_run_on_arrays_has_its_records_drawn(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    adapter = DomainAdapter(**{**SMALL, "norm": "batch_norm"})
    adapter.fit((images, np.arange(12) % 2), images, run=tmp_path / "run")
    with pytest.warns(UserWarning, match="the source was given in memory: call the functions"):
        analyse((tmp_path / "run",), device="cpu")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert headings(page) == ["Verdict", "Training curves", "How to reproduce this"]


def test_mistakes_name_the_cure(runs, tmp_path):
    with pytest.raises(ValueError, match="name a run folder, or several to compare"):
        analyse(())
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        analyse((runs / "plain",), images=0)
    with pytest.raises(ValueError, match="a run is named twice"):
        analyse((runs / "plain", runs / "plain"))
    with pytest.raises(ValueError, match="is no run folder"):
        analyse((tmp_path,))
