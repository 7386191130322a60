"""Runs side by side: the table holds what they recorded and how their features lie."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.verdict.comparison import (
    compare_runs,
    compute_comparison,
    draw_comparison,
    plot_comparison,
)
from dacbn.training import TrainConfig

CURVES = {
    "plain": {
        "target_test_accuracy": np.array([[10, 0.3], [20, 0.4]]),
        "classification": np.array([[20, 0.1]]),
    },
    "adapted": {
        "target_test_accuracy": np.array([[10, 0.5], [30, 0.75]]),
        "source_test_accuracy": np.array([[10, 0.9], [30, 0.95]]),
        "domain_accuracy": np.array([[5, 0.9], [30, 0.6]]),
    },
}
CONFIGS = {"plain": TrainConfig(method="source_only", norm=None), "adapted": TrainConfig(seed=3)}
SCORES = {"adapted": Scores(1.25, 0.5, float("nan"))}


def test_a_row_holds_the_last_numbers_of_its_run():
    plain, adapted = compute_comparison(
        CURVES, CONFIGS, SCORES, {"plain": {"cluster NMI": 0.12345}}
    )
    assert (plain["method"], plain["norm"], plain["steps"]) == ("source_only", "own norms", 20)
    assert plain["target test accuracy"] == 0.4 and plain["source test accuracy"] == ""
    assert plain["proxy distance"] == "" and plain["cluster NMI"] == 0.123
    assert (adapted["steps"], adapted["seed"], adapted["domain accuracy"]) == (30, 3, 0.6)
    assert adapted["proxy distance"] == 1.25 and adapted["target silhouette"] == ""


def test_curves_of_all_runs_that_have_them_are_drawn():
    axes = Figure().subplots()
    plot_comparison(CURVES, "target_test_accuracy", axes)
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines == {
        name: curves["target_test_accuracy"].tolist() for name, curves in CURVES.items()
    }


def test_the_findings_rank_the_runs_and_warn(tmp_path):
    section = draw_comparison(CURVES, compute_comparison(CURVES, CONFIGS, {}, {}), tmp_path)
    assert section.findings[0].endswith("from the highest: adapted 75.0%; plain 40.0%.")
    assert "dacbn compare" in section.findings[1]
    counted = CURVES["plain"] | {"target_test_images": np.array([[20, 50.0]])}
    curves = CURVES | {"plain": counted}
    section = draw_comparison(curves, compute_comparison(curves, CONFIGS, {}, {}), tmp_path)
    assert "plain 40.0% (27.6 to 53.8; 50 images)." in section.findings[0]
    section = compare_runs(curves, CONFIGS, {}, {}, tmp_path, ("a", "b", "c", "d"))
    assert "plain 40.0% (27.6 to 53.8; 50 images, chance 25.0%)." in section.findings[0]
    with np.load(section.figures[0].with_suffix(".npz")) as arrays:
        assert "plain/target_test_accuracy" in arrays.files
        assert "plain/domain_accuracy" not in arrays.files


def test_runs_without_target_labels_are_not_ranked(tmp_path):
    curves = {"plain": {"source_test_accuracy": np.array([[10, 0.9]])}}
    rows = compute_comparison(curves, {"plain": TrainConfig()}, {}, {})
    section = draw_comparison(curves, rows, tmp_path)
    assert section.findings == ("No run has a target test accuracy: their targets have no labels.",)


@pytest.mark.parametrize("count", [1, 9])
def test_many_runs_can_be_told_apart(tmp_path, count):
    axes = Figure().subplots()
    curves = {str(place): CURVES["adapted"] for place in range(count)}
    plot_comparison(curves, "target_test_accuracy", axes)
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == min(count, 8)
