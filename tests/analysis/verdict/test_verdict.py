"""The verdict gathers its evidence and writes it in sentences."""

import numpy as np
import pytest
from planted_activations import BRIGHT, DARK, planted_subject, two_modes
from torch import nn

from dacbn.analysis.domains.embeddings import Scores
from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.recorder import record
from dacbn.analysis.verdict.evidence import Evidence
from dacbn.analysis.verdict.verdict import (
    apply_rules,
    gather_evidence,
    measure_overlaps,
    write_verdict,
)
from dacbn.norms import UCBNorm

CURVES = {
    "source_test_accuracy": np.array([[10, 0.9], [20, 0.95]]),
    "target_test_accuracy": np.array([[10, 0.8], [20, 0.5]]),
    "target_test_images": np.array([[10, 100], [20, 100]]),
}
SOURCE = DomainOutput(np.zeros((4, 2)), np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]))
TARGET = DomainOutput(np.zeros((4, 2)), np.eye(2)[[0, 0, 0, 1]], np.array([1, 0, 0, 0]))


def test_evidence_is_gathered_from_the_outputs():
    outputs = {"source": SOURCE, "target": TARGET}
    evidence = gather_evidence(CURVES, 20, outputs, ("cup", "pen"), Scores(0.5, 0.1, 0.1))
    assert evidence.curves is CURVES and evidence.steps == 20
    assert evidence.source_shares.tolist() == [0.5, 0.5]
    assert evidence.target_shares.tolist() == [0.75, 0.25]
    assert evidence.images == 4
    assert evidence.proxy_distance == 0.5 and evidence.classes == ("cup", "pen")
    assert evidence.excess == pytest.approx(0.5)  # sure of all, right of half
    assert evidence.right.tolist() == [[2, 3], [0, 1]]


def test_what_is_not_at_hand_is_left_open():
    evidence = gather_evidence(CURVES, 20, {})
    assert evidence.source_shares is None and evidence.proxy_distance is None
    unlabelled = gather_evidence(
        CURVES, 20, {"source": SOURCE, "target": TARGET._replace(labels=None)}
    )
    assert unlabelled.excess is None and unlabelled.target_shares.tolist() == [0.75, 0.25]


def test_the_verdict_begins_with_the_accuracies_and_gives_advice():
    first, second = write_verdict(Evidence(CURVES, 20)).findings
    assert first == "The last test accuracy is 50.0% on the target and 95.0% on the source."
    assert second.startswith(
        "Target test accuracy fell from 0.800 at step 10 to 0.500, of 100 images."
    )
    assert second.endswith(".")


def test_a_healthy_training_is_called_so():
    good = {name: curve[:1] for name, curve in CURVES.items()}
    assert apply_rules(Evidence(good, 10)) == []
    assert write_verdict(Evidence(good, 10)).findings[1:] == ("No rule found a problem.",)
    given = write_verdict(Evidence(good, 10), ["It is good.", "Look."]).findings
    assert given == ("It is good.", "Look.", "No rule found a problem.")


def test_overlaps_are_of_layers_with_several_components():
    assert measure_overlaps(None) == {}
    assert measure_overlaps(record(planted_subject([DARK], [DARK], nn.BatchNorm2d(3)))) == {}
    one = planted_subject([DARK], [BRIGHT], UCBNorm(3, num_clusters=1))
    assert measure_overlaps(record(one)) == {}
    two = planted_subject([DARK] * 6, [BRIGHT] * 4, two_modes("sample"), noise=5)
    (overlap,) = measure_overlaps(record(two)).values()
    assert overlap < 0.1
