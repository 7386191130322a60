"""Class balance and confusions of planted predictions."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.predictions.predictions import (
    compute_balance,
    compute_class_shares,
    compute_confusion,
    compute_total_variation,
    draw_predictions,
    plot_balance,
)

CLASSES = ("cup", "pen", "mug")


def predict(predictions, labels):
    predictions = np.array(predictions)
    labels = None if labels is None else np.array(labels)
    return DomainOutput(np.zeros((len(predictions), 2)), np.eye(3)[predictions], labels)


SOURCE = predict([0, 1, 2, 2], [0, 1, 2, 2])
TARGET = predict([0, 0, 0, 1], [0, 0, 1, 2])


def test_shares_count_every_class():
    assert compute_class_shares(np.array([0, 2, 2, 2]), 4).tolist() == [0.25, 0, 0.75, 0]


def test_total_variation_is_the_share_that_would_have_to_move():
    assert compute_total_variation(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    assert compute_total_variation(np.array([1.0, 0]), np.array([0, 1.0])) == 1
    first, second = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    assert compute_total_variation(first, second) == pytest.approx(0.3)


def test_confusions_are_shares_of_the_true_class():
    assert compute_confusion(TARGET).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    absent = compute_confusion(predict([0, 1], [0, 0]))
    assert absent.tolist() == [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="there are no labels"):
        compute_confusion(predict([0], None))


def test_balance_compares_predictions_with_the_sources_labels():
    shares = compute_balance({"source": SOURCE, "target": TARGET})
    assert shares["source labels"].tolist() == [0.25, 0.25, 0.5]
    assert shares["target predictions"].tolist() == [0.75, 0.25, 0]
    assert shares["target labels"].tolist() == [0.5, 0.25, 0.25]
    assert "target labels" not in compute_balance(
        {"source": SOURCE, "target": predict([0, 1], None)}
    )
    with pytest.raises(ValueError, match="needs a source with labels"):
        compute_balance({"source": predict([0], None), "target": TARGET})


def test_bars_are_as_high_as_the_shares():
    axes = Figure().subplots()
    plot_balance(compute_balance({"source": SOURCE, "target": TARGET}), CLASSES, axes)
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == [0.25, 0.25, 0.5, 0.75, 0.25, 0, 0.5, 0.25, 0.25]
    assert [text.get_text() for text in axes.get_xticklabels()] == list(CLASSES)


def test_findings_name_the_commonest_confusion(tmp_path):
    section = draw_predictions({"source": SOURCE, "target": TARGET}, CLASSES, tmp_path)
    assert section.findings[0].startswith("50% of the predictions on the target")
    assert section.findings[1:] == (
        "target: the most frequent confusion is pen predicted as cup, 100% of that class.",
    )
    assert [figure.stem for figure in section.figures] == ["class_balance", "confusion"]
    with np.load(tmp_path / "confusion.npz") as arrays:
        assert arrays["target"].tolist() == compute_confusion(TARGET).tolist()


def test_a_target_without_labels_has_no_confusions(tmp_path):
    outputs = {"source": SOURCE, "target": predict([0, 1], None)}
    draw_predictions(outputs, CLASSES, tmp_path)
    with np.load(tmp_path / "confusion.npz") as arrays:
        assert arrays.files == ["source"]


def test_many_long_class_names_are_drawn(tmp_path):
    names = tuple(f"a long class name, number {place}" for place in range(3))
    assert draw_predictions({"source": SOURCE, "target": TARGET}, names, tmp_path).figures
