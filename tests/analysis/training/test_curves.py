"""Curves of a run: the arrays are the records, and the figures show them."""

import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dacbn.analysis import compute_curves, draw_curves, plot_curves
from dacbn.analysis.training.curves import plot_panels, to_own_range
from dacbn.training import RunFolderError
from dacbn.training.metrics import METRICS

RECORDS = [
    {"step": 2, "classification": 1.5, "domain": 0.7, "source_accuracy": 0.5, "lr": 0.1},
    {"step": 4, "classification": 1.0, "domain": 0.6, "source_accuracy": 0.75, "lr": 0.05},
    {"step": 4, "source_test_accuracy": 0.8, "target_test_accuracy": 0.25},
]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in RECORDS))
    return tmp_path


def test_each_quantity_has_the_steps_it_was_recorded_at():
    curves = compute_curves(RECORDS)
    names = {name for row in RECORDS for name in row} - {"step"}
    assert curves.keys() == names
    assert curves["classification"].tolist() == [[2, 1.5], [4, 1.0]]
    assert curves["target_test_accuracy"].tolist() == [[4, 0.25]]


def test_the_arrays_beside_the_figure_are_the_records(run):
    (png,) = draw_curves(run, run / "figures").figures
    with np.load(png.with_suffix(".npz")) as arrays:
        assert set(arrays.files) == compute_curves(RECORDS).keys()
        for name in arrays.files:
            expected = [[row["step"], row[name]] for row in RECORDS if name in row]
            assert arrays[name].tolist() == expected
    assert png.with_suffix(".svg").read_text().lstrip().startswith("<?xml")
    with Image.open(png) as image:
        assert image.width > 7 * 50 and len(image.convert("RGB").getcolors(10**6)) > 20


def test_a_curve_is_drawn_where_the_numbers_are():
    axes = Figure().subplots()
    plot_curves(compute_curves(RECORDS), ("classification", "domain"), axes)
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["classification"] == [[2, 1.5], [4, 1.0]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "classification",
        "domain",
    ]


def test_what_was_not_recorded_is_left_out():
    axes = Figure().subplots()
    plot_curves(compute_curves(RECORDS[:1]), ("source_test_accuracy",), axes)
    assert not axes.lines and axes.get_legend() is None


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"cannot read .*metrics\.jsonl"):
        draw_curves(tmp_path, tmp_path / "figures")
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(RunFolderError, match="no records yet: it ended before its first log"):
        draw_curves(tmp_path, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_every_metric_is_drawn_in_the_panel_that_the_table_says():
    names = [*METRICS, "made_up_loss", "made_up_accuracy"]
    curves = {name: np.array([[1, 2.0 + i], [2, 2.0 + i]]) for i, name in enumerate(names)}
    drawn = {  # by title: the names whose values are drawn
        axes.get_title("left"): {
            names[int(y) - 2] for line in axes.get_lines() for y in line.get_ydata() if y >= 2
        }
        for axes in plot_panels(curves).axes
    }
    assert drawn.pop("Learning rate") == {"lr"}
    assert drawn.pop("Steps per second") == {"steps_per_second"}
    assert drawn.pop("Other") == {"made_up_loss", "made_up_accuracy"}
    assert set.union(*drawn.values()) == {
        name for name in METRICS if METRICS[name].panel and name not in ("lr", "steps_per_second")
    }
    for title, held in drawn.items():
        assert {METRICS[name].panel for name in held} == {title}


def test_panels_are_in_the_order_of_the_table_and_their_axes_name_the_units():
    names = ["lr", "confident", "classification", "adversarial_strength", "target_test_accuracy"]
    figure = plot_panels({name: np.array([[1, 0.2], [2, 0.4]]) for name in names})
    labels = [(axes.get_title("left"), axes.get_ylabel()) for axes in figure.axes]
    assert labels == [
        ("Classification", "nats"),
        ("Target test accuracy", "accuracy"),
        ("Strengths and thresholds", "share, factor"),
        ("Learning rate", "learning rate"),
    ]


def test_validators_are_drawn_in_their_own_ranges():
    curve = np.array([[1, -4.0], [2, 0.0], [3, -1.0]])
    assert to_own_range(curve).tolist() == [[1, 0], [2, 1], [3, 0.75]]
    assert to_own_range(np.array([[1, 7.0], [2, 7.0]])).tolist() == [[1, 0.5], [2, 0.5]]


@pytest.mark.parametrize("scored", [1, 2])
def test_a_validator_is_drawn_once_it_has_two_scores(run, scored):
    rows = [*RECORDS, *({"step": 5 + score, "validator_bnm": score} for score in range(scored))]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (png,) = draw_curves(run, run / "figures").figures
    titles = png.with_suffix(".svg").read_text()
    assert "<!-- Test accuracy -->" in titles
    assert ("<!-- Bnm -->" in titles) == (scored == 2)


def test_a_long_legend_stands_below_its_lines():
    figure = Figure(layout="constrained")
    for count, axes in zip((2, 3), figure.subplots(1, 2), strict=True):
        names = [f"score{number}" for number in range(count)]
        curves = {name: np.array([[1, 0.0], [2, 1.0]]) for name in names}
        plot_curves(curves, tuple(names), axes)
        FigureCanvasAgg(figure).draw()
        below = axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0
        assert below == (count == 3)


def test_the_findings_are_the_last_test_accuracies(run):
    assert draw_curves(run, run / "figures").findings == (
        "The target test accuracy is 25.0% at step 4.",
        "The source test accuracy is 80.0% at step 4.",
    )
    section = draw_curves(run, run / "figures", ("a", "b", "c", "d"))
    assert section.findings[0] == "The target test accuracy is 25.0% (chance 25.0%) at step 4."


def test_of_several_domains_the_mean_is_drawn_and_chance_is_not():
    points = np.array([[1.0, 0.4], [2.0, 0.6]])
    mean, names = "target_test_accuracy", ("target_test_accuracy/usps", "target_test_accuracy/svhn")
    curves = {mean: points, **dict.fromkeys(names, points), "domain_accuracy": points}
    figure = plot_panels(curves)
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    assert len(figure.axes) == 2 and len(lines) == 2  # no line at one half
    del curves[names[0]], curves[names[1]]
    assert len([line for axes in plot_panels(curves).axes for line in axes.get_lines()]) == 3
