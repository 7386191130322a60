"""What a page opens with."""

import numpy as np
from planted_answers import answers

from dacbn.analysis.verdict.first_lines import first_lines

HALF = [[0.9, 0.1], [0.8, 0.2]]


def test_targets_come_first_with_their_number_of_images():
    outputs = {"source": answers(HALF, [0, 0]), "target": answers(HALF, [0, 1])}
    assert first_lines(outputs, ("cup", "pen")) == (
        "Target: 50.0% of 2 images are right (2 classes).",
        "Source: 100.0% of 2 images are right (2 classes).",
    )
    before = {"target": answers(np.array(HALF)[:, ::-1], [0, 1])}
    assert first_lines(outputs, ("cup", "pen"), ("runs/old", before))[0] == (
        "Target: 50.0% of 2 images are right (2 classes); runs/old: 50.0%."
    )


def test_without_labels_it_says_that_the_quality_is_unknown():
    (line,) = first_lines({"target": answers(HALF)}, ("cup", "pen"))
    assert "2 images without labels" in line and "unknown" in line and "0.85" in line
    assert first_lines(None, ("cup", "pen")) == ()
