"""The first sentences of a report: the answer, and one line of advice."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import softmax

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.verdict.opening import Known, _from_outputs, write_opening
from dacbn.estimates import Estimate
from dacbn.intervals import paired
from dacbn.training import RunInfo, TrainConfig

CLASSES = tuple("abcdef")
SOURCE = {"source_test_accuracy": 0.957, "source_test_images": 70.0}
TOLD = Estimate(0.71, 0.63, 0.78, 346, {"atc": 0.7, "doc": 0.72})
THIN = TOLD._replace(thin=("only 12 target images", "estimators disagree"))


def known(accuracy=None, images=70, method="dann", estimated=(TOLD,), **scores):
    info = RunInfo(TrainConfig.from_options(method=method), CLASSES, 32)
    of_target = {} if accuracy is None else {"target_test_accuracy": accuracy}
    of_target |= {} if accuracy is None or images is None else {"target_test_images": float(images)}
    return Known(info, SOURCE | of_target | scores, estimated)


PLAIN = known(method="source_only", estimated=(TOLD._replace(accuracy=0.52, low=0.4, high=0.6),))


def test_an_unlabelled_target_is_estimated_first():
    first, advice = write_opening(known(), PLAIN)
    assert first == (
        "Target: 71 % estimated (63 to 78); 346 images, 6 classes, chance 16.7%; source_only 52 % "
        "estimated (40 to 60); source 95.7% (88.1 to 98.5)."
    )
    assert advice.startswith("Look at the least sure images first")


def test_what_cannot_be_told_is_said_with_the_reasons():
    first, advice = write_opening(known(estimated=(THIN,)))
    assert first.startswith(
        "Target: cannot tell, as only 12 target images, and estimators disagree; 346 images"
    )
    assert advice.startswith("Label 50 target images")
    first, advice = write_opening(known(estimated=()))
    assert first.startswith("Target: cannot tell, as there are no labels, and no outputs")
    assert advice.startswith("Label 50 target images")


def test_another_run_that_cannot_be_told_is_named():
    first, _ = write_opening(known(method="source_only"), known(method="mcc", estimated=(THIN,)))
    assert "; mcc: cannot tell; source" in first


def test_a_labelled_target_is_measured_and_compared():
    ours = known(50 / 70)
    first, second, advice = write_opening(ours, known(37 / 70, method="source_only"))
    assert first == (
        "Target: 71.4% right (59.9 to 80.7); 70 images, 6 classes, chance 16.7%; source_only 52.9%:"
        " +18.6 points (+2.5 to +33.4); source 95.7% (88.1 to 98.5)."
    )
    assert second == "Without labels it would be 71 % estimated (63 to 78)."
    assert advice == "Look first at the classes that are confused most."


def test_runs_that_kept_their_answers_are_compared_image_by_image():
    right, first = (torch.arange(70) < count for count in (50, 37))
    ours = known(50 / 70)._replace(right={"target_test t": right, "start target_test t": first})
    theirs = known(37 / 70, method="source_only")._replace(right={"target_test t": first})
    said, *_ = write_opening(ours, theirs)
    low, high = (f"{100 * each:+.1f}" for each in paired(37, 13, 0, 20))
    assert f"source_only 52.9%: +18.6 points ({low} to {high}); " in said
    assert f"at the start 52.9%: +18.6 points ({low} to {high}); " in said


def test_a_failure_is_said_first():
    """22.9 % of six classes, of 70 images, may be chance."""
    first, second, *_ = write_opening(known(16 / 70))
    assert first == "It failed: the target is answered no better than chance (16.7%)."
    assert second.startswith("Target: 22.9% right (14.6 to 34.0)")
    worse, *_, advice = write_opening(known(25 / 70), known(50 / 70, method="source_only"))
    assert worse == "It failed: worse than without adaptation."
    assert advice == "Use the run of source_only, or another method."


def test_what_cannot_be_told_apart_is_said():
    """22.9 % against 28.6 % is 4 of 70 images."""
    *_, advice = write_opening(known(24 / 70), known(20 / 70, method="source_only"))
    assert advice.startswith("The two cannot be told apart by these images")


def test_an_older_run_has_no_number_of_images():
    first, *_ = write_opening(known(0.5, images=None))
    assert first.startswith("Target: 50.0% right; 6 classes, chance 16.7%; source")


def test_a_source_that_is_not_learned_comes_before_all_else():
    scores = {"source_test_accuracy": 0.3, "source_test_images": 70.0}
    assert write_opening(known(0.5, **scores))[-1].startswith("First train until the source")


def test_a_run_without_target_says_what_is_known():
    one = known(0.5, estimated=())
    bare = dataclasses.replace(one.info.config, target=(), unseen=())
    first, advice = write_opening(one._replace(info=dataclasses.replace(one.info, config=bare)))
    assert first == (
        "There is no target; 95.7% (88.1 to 98.5) on the source; 70 images, 6 classes, "
        "chance 16.7%."
    )
    assert "dacbn evaluate" in advice
    unseen = dataclasses.replace(bare, unseen=("sketch",))
    first, *_ = write_opening(one._replace(info=dataclasses.replace(one.info, config=unseen)))
    assert first.startswith("Unseen domain: 50.0% right")


def test_several_targets_have_a_sentence_each():
    config = TrainConfig.from_options(target=("phone", "sketch"))
    one = known(estimated=(TOLD, THIN))
    one = one._replace(info=dataclasses.replace(one.info, config=config))
    first, second, _ = write_opening(one)
    assert first.startswith("Target phone: 71 %") and second.startswith("Target sketch: cannot")
    mean = {"target_test_accuracy/phone": 0.5, "target_test_accuracy/sketch": 0.7}
    mean |= {"target_test_images/phone": 50.0, "target_test_images/sketch": 90.0}
    first, *_ = write_opening(known(0.6, images=140, **mean))
    assert first.startswith("Target (mean of 2): 60.0% right (51.")


@pytest.mark.parametrize("labelled", [True, False])
def test_older_runs_are_estimated_from_the_images(labelled):
    random = np.random.default_rng(0)
    labels = np.arange(120) % 6
    sides = [
        softmax(size * np.eye(6)[labels] + random.normal(0, 1, (120, 6)), 1) for size in (3, 2)
    ]
    own = labels if labelled else None
    outputs = {
        "source": DomainOutput(sides[0], sides[0], labels),
        "target": DomainOutput(sides[1], sides[1], own),
    }
    (found,) = _from_outputs(outputs, known().info)
    assert found.can_tell and found.low < (sides[1].argmax(1) == labels).mean() < found.high
    assert _from_outputs({"target": outputs["target"]}, known().info) == ()
