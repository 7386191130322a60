"""Suspected labels are those of the paper's confident joint."""

import numpy as np
import pytest
from planted_answers import answers, subject_of

from dacbn.analysis.predictions.label_errors import draw_label_errors, find_label_errors


def slowly(probabilities, labels):
    """Find the off-diagonal of the confident joint by the paper's equations 1 and 2, by loops."""
    count, num_classes = probabilities.shape
    found = {}
    for image in range(count):
        best = None
        for label in range(num_classes):
            here = [probabilities[i, label] for i in range(count) if labels[i] == label]
            if not here or probabilities[image, label] < np.mean(here):
                continue
            if best is None or probabilities[image, label] > probabilities[image, best]:
                best = label
        if best not in (None, labels[image]) and best == probabilities[image].argmax():
            found[image] = best
    return found


@pytest.mark.parametrize("seed", range(4))
def test_suspected_labels_are_the_off_diagonal_of_the_confident_joint(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 60)  # of five classes, one has no image
    logits = random.normal(size=(60, 5)) + 0.7 * np.eye(5)[labels]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows, suggested = find_label_errors(shares, labels)
    assert dict(zip(rows.tolist(), suggested.tolist(), strict=True)) == slowly(shares, labels)
    margin = shares[rows, suggested] - shares[rows, labels[rows]]
    assert (np.diff(margin) <= 0).all() and len(rows)


def test_planted_wrong_labels_are_found():
    true = np.arange(90) % 3
    given = true.copy()
    given[[4, 31, 77]] = (true[[4, 31, 77]] + 1) % 3
    shares = 0.97 * np.eye(3)[true] + 0.01
    rows, suggested = find_label_errors(shares, given)
    assert set(rows.tolist()) == {4, 31, 77}
    assert (suggested == true[rows]).all()


def test_the_section_names_the_method_and_the_files():
    good = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]]
    outputs = {
        "source": answers([*good, [0.05, 0.95]], [0, 0, 1, 1, 0]),
        "target": answers(good),
    }
    subject = subject_of(outputs, ("cup", "pen"), tuple("abcde"))
    section = draw_label_errors(subject, outputs)
    assert "1 of 5 labels" in section.findings[0] and "Northcutt et al. 2021" in section.findings[0]
    ((row,),) = section.tables.values()
    assert row["image"] == "e" and row["label"] == "cup" and row["suggested"] == "pen"
    with pytest.raises(ValueError, match="no label is suspected"):
        draw_label_errors(subject, {"target": answers(good)})
