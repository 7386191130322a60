"""Calibration against cases whose error is known, and a loop written from the definition."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.predictions.calibration import (
    compute_reliability,
    draw_calibration,
    error_by_chance,
    plot_reliability,
)


def two_classes(confidence, correct):
    """Make probabilities of class 0 and labels that it hits or misses."""
    confidence = np.asarray(confidence, float)
    return np.column_stack([confidence, 1 - confidence]), 1 - np.asarray(correct, int)


def expected_error(probabilities, labels, bins, equal_mass):
    """Compute the expected calibration error in loops."""
    rows = sorted(
        (max(row), int(np.argmax(row) == label))
        for row, label in zip(probabilities, labels, strict=True)
    )
    error = 0.0
    for place in range(bins):
        if equal_mass:
            base, extra = divmod(len(rows), bins)
            start = place * base + min(place, extra)
            held = rows[start : start + base + (place < extra)]
        else:
            low, high = place / bins, (place + 1) / bins
            held = [row for row in rows if low < row[0] <= high]
        if held:
            confidence, accuracy = np.mean(held, axis=0)
            error += len(held) / len(rows) * abs(confidence - accuracy)
    return error


@pytest.mark.parametrize("equal_mass", [True, False])
def test_as_sure_as_right_is_no_error(equal_mass):
    probabilities, labels = two_classes([0.8] * 10, [1] * 8 + [0] * 2)
    each = compute_reliability(probabilities, labels, 1, equal_mass)
    assert each.error == pytest.approx(0, abs=1e-12)
    assert each.excess == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("equal_mass", [True, False])
def test_sure_and_wrong_half_of_the_time_is_an_error_of_one_half(equal_mass):
    probabilities, labels = two_classes([1.0] * 10, [1, 0] * 5)
    each = compute_reliability(probabilities, labels, 5, equal_mass)
    assert each.error == pytest.approx(0.5)
    assert each.excess == pytest.approx(0.5)


def test_errors_of_both_signs_do_not_cancel():
    probabilities, labels = two_classes([0.6] * 10 + [0.9] * 10, [1] * 9 + [0] + [1] * 6 + [0] * 4)
    each = compute_reliability(probabilities, labels, 2)
    assert each.confidence.tolist() == pytest.approx([0.6, 0.9])
    assert each.accuracy.tolist() == pytest.approx([0.9, 0.6])
    assert each.error == pytest.approx(0.3) and each.excess == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("equal_mass", [True, False])
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_the_error_is_that_of_the_definition(bins, equal_mass):
    random = np.random.default_rng(bins)
    probabilities = random.dirichlet(np.ones(4), 97)
    labels = random.integers(0, 4, 97)
    each = compute_reliability(probabilities, labels, bins, equal_mass)
    assert each.error == pytest.approx(expected_error(probabilities, labels, bins, equal_mass))
    assert each.share.sum() == pytest.approx(1)


def test_bins_without_images_are_left_out():
    probabilities, labels = two_classes([0.9, 0.95], [1, 1])
    each = compute_reliability(probabilities, labels, 15, equal_mass=False)
    assert len(each.share) <= 2 and (each.share > 0).all()


def test_a_confidence_on_an_edge_is_in_the_lower_bin_as_in_the_paper():
    probabilities, labels = two_classes([0.5, 0.6], [1, 1])
    each = compute_reliability(probabilities, labels, 5, equal_mass=False)
    assert each.share.tolist() == [1]
    assert each.confidence.tolist() == pytest.approx([0.55])


def test_every_domain_with_labels_is_drawn_and_described(tmp_path):
    sure, labels = two_classes([1.0] * 10, [1, 0] * 5)
    outputs = {
        "source": DomainOutput(sure, sure, labels),
        "target": DomainOutput(sure, sure, None),
    }
    section = draw_calibration(outputs, tmp_path)
    assert len(section.findings) == 1
    assert "source: confidence differs from accuracy by 0.500" in section.findings[0]
    assert "overconfident by 0.500" in section.findings[0]
    with np.load(section.figures[0].with_suffix(".npz")) as arrays:
        assert set(arrays.files) == {"source/confidence", "source/accuracy", "source/share"}
    del outputs["source"]
    with pytest.raises(ValueError, match="no domain has labels"):
        draw_calibration(outputs, tmp_path)


def test_the_line_runs_through_the_bins():
    probabilities, labels = two_classes([0.6] * 10 + [0.9] * 10, [1] * 9 + [0] + [1] * 6 + [0] * 4)
    axes = Figure().subplots()
    plot_reliability({"target": compute_reliability(probabilities, labels, 2)}, axes)
    _, line = axes.lines
    assert line.get_xydata() == pytest.approx(np.array([[0.6, 0.9], [0.9, 0.6]]))


@pytest.mark.parametrize("equal_mass", [True, False])
def test_equal_confidences_share_a_bin(equal_mass):
    """The order of the rows says nothing: 120 of 200 are right, at a confidence of 0.6."""
    probabilities = np.tile([0.6, 0.4], (200, 1))
    labels = np.r_[np.zeros(120, int), np.ones(80, int)]
    each = compute_reliability(probabilities, labels, equal_mass=equal_mass)
    assert each.error == pytest.approx(0) and each.share.tolist() == [1]
    mixed = np.r_[probabilities, np.tile([0.9, 0.1], (50, 1))], np.r_[labels, np.zeros(50, int)]
    shares = compute_reliability(*mixed, equal_mass=equal_mass).share
    assert shares.tolist() == pytest.approx([0.8, 0.2])


@pytest.mark.parametrize("count", [20, 70, 500])
def test_the_error_by_chance_is_that_of_calibrated_answers(count):
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, count)
    errors = []
    for _ in range(300):
        each = compute_reliability(*two_classes(confidence, random.random(count) < confidence))
        errors.append(each.error)
    assert error_by_chance(each, count) == pytest.approx(np.mean(errors), rel=0.1)
