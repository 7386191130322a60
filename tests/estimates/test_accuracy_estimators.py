"""Each estimator agrees with a slow, obvious version, and is right where its assumption holds."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from dacbn.estimates import estimators, see
from dacbn.estimates.atc import atc
from dacbn.estimates.cot import cot, match
from dacbn.estimates.doc import doc
from dacbn.estimates.estimator import Answers, Seen
from dacbn.estimates.gde import gde
from dacbn.label_shift import HeldOut
from dacbn.label_shift.calibration import fit_temperature


def draw(count, sharpness, seed):
    """Draw labels, and logits that are calibrated: the label is drawn from their softmax."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, sharpness, (count, 4))
    cumulative = softmax(logits, 1).cumsum(1)
    labels = (random.random((count, 1)) > cumulative).sum(1).clip(max=3)
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)


@pytest.fixture
def planted():
    """Draw a source, and a target that is harder, both calibrated; with the target's accuracy."""
    logits, labels = draw(4000, 3.0, 0)
    target, truth = draw(3000, 2.0, 1)
    right = (target.argmax(1) == truth).double().mean().item()
    return see(HeldOut(logits, labels), target), right


def answers(random, count, levels=None):
    confidence = random.random(count)
    if levels:
        confidence = np.round(confidence * levels) / levels
    classes = random.integers(0, 3, count)
    return Answers(classes, confidence, -random.random(count), random.random(count))


@pytest.fixture(params=[None, 5], ids=["distinct", "ties"])
def seen(request):
    random = np.random.default_rng(2)
    first = answers(random, 60, request.param), answers(random, 47, request.param)
    second = random.integers(0, 3, 60), random.integers(0, 3, 47)
    return Seen(*first, random.integers(0, 3, 60), 3, second)


@pytest.mark.parametrize("name", ["atc", "doc", "cot"])
def test_an_estimate_is_right_where_a_calibrated_network_meets_a_harder_target(name, planted):
    seen, right = planted
    assert 0.6 < right < seen.source_accuracy - 0.08
    # atc takes the threshold to stay where it is, which holds only roughly
    assert estimators[name](seen) == pytest.approx(right, abs=0.05 if name == "atc" else 0.03)


@pytest.mark.parametrize("score", ["confidence", "certainty"])
def test_atc_counts_what_is_above_the_threshold(seen, score):
    """The threshold is found by trying; equal scores are told apart by noise, on average."""
    source, target = getattr(seen.source, score), getattr(seen.target, score)
    random, counted = np.random.default_rng(3), []
    for _ in range(400):
        own, other = (each + 1e-9 * random.random(len(each)) for each in (source, target))
        limits = [each for each in own if (own >= each).mean() == seen.source_accuracy]
        counted.append((other >= limits[0]).mean())
    assert atc(seen, score) == pytest.approx(np.mean(counted), abs=0.01)


def test_atc_gives_the_source_its_own_accuracy(seen):
    same = seen._replace(target=seen.source)
    assert atc(same) == pytest.approx(seen.source_accuracy)
    nothing = seen._replace(labels=(seen.source.classes + 1) % 3)
    assert atc(nothing) == 0


def test_doc_takes_off_what_the_mean_confidence_falls(seen):
    fall = sum(seen.source.confidence) / 60 - sum(seen.target.confidence) / 47
    assert doc(seen) == pytest.approx(seen.source_accuracy - fall)


def test_gde_counts_where_two_trainings_agree(seen):
    share = [
        sum(a == b for a, b in zip(own.classes, other, strict=True)) / len(own.classes)
        for own, other in zip((seen.source, seen.target), seen.second, strict=True)
    ]
    assert gde(seen) == pytest.approx(seen.source_accuracy - share[0] + share[1])
    with pytest.raises(ValueError, match="gde compares two trainings: give a second one"):
        gde(seen._replace(second=None))


def test_gde_is_right_where_two_networks_err_apart():
    """Of 2,000 classes, two that are wrong never agree: agreement is that of both being right."""
    random = np.random.default_rng(4)
    truth = random.integers(0, 2000, 3000)
    easy = random.random(3000) < 0.7  # both are right of these, and of no others
    first, second = (np.where(easy, truth, random.integers(0, 2000, 3000)) for _ in range(2))
    own, known = Answers(first, *np.ones((3, 3000))), Answers(np.arange(50), *np.ones((3, 50)))
    seen = Seen(known, own, np.arange(50), 2000, (np.arange(50), second))
    assert gde(seen) == pytest.approx((first == truth).mean(), abs=0.01)


def test_cot_gives_classes_by_the_shares_of_the_source():
    random = np.random.default_rng(5)
    probabilities = random.dirichlet(np.ones(3), 6)
    given = [0, 0, 0, 1, 1, 2]  # a half, a third, a sixth
    best = max(sum(probabilities[range(6), list(each)]) for each in set(permutations(given)))
    assert match(probabilities, np.array([1 / 2, 1 / 3, 1 / 6])).sum() == pytest.approx(best)


def test_cot_is_not_taken_in_by_a_collapsed_network():
    """All images of four classes are surely of the first: at most a quarter can be right."""
    logits, labels = torch.eye(4).repeat(100, 1) * 9, torch.arange(4).repeat(100)
    collapsed = torch.eye(4)[torch.zeros(200).long()] * 9
    seen = see(HeldOut(logits, labels), collapsed)
    assert cot(seen) == pytest.approx(0.25, abs=0.01)
    assert atc(seen) > 0.99 and doc(seen) > 0.99


def test_many_images_are_matched_in_blocks(monkeypatch):
    random = np.random.default_rng(6)
    probabilities = random.dirichlet(np.full(3, 0.3), 300)
    shares = np.array([0.2, 0.5, 0.3])
    whole = match(probabilities, shares).mean()
    monkeypatch.setattr("dacbn.estimates.cot.BLOCK", 60)
    assert match(probabilities, shares).mean() == pytest.approx(whole, abs=0.02)


def test_what_is_seen_follows_from_the_outputs():
    logits, labels = draw(300, 4.0, 7)
    target, _ = draw(200, 2.0, 8)
    held_out = HeldOut(3 * logits, labels)  # too sure
    seen = see(held_out, 3 * target)
    expected = softmax(3 * target.double().numpy() / fit_temperature(held_out), 1)
    assert np.allclose(seen.target.confidence, expected.max(1))
    assert np.allclose(seen.target.certainty, (expected * np.log(expected)).sum(1))
    assert (seen.target.classes == target.argmax(1).numpy()).all()
    assert seen.source_accuracy == (logits.argmax(1) == labels).double().mean()


def test_a_second_training_must_have_seen_the_same_images():
    logits, labels = draw(30, 4.0, 7)
    target, _ = draw(20, 2.0, 8)
    own = HeldOut(logits, labels)
    assert see(own, target, (own, target)).second is not None
    for other in ((own, target[:7]), (HeldOut(logits, labels.flip(0)), target)):
        with pytest.raises(ValueError, match="the second training saw other images"):
            see(own, target, other)
    with pytest.raises(ValueError, match="needs images of the source and of the target"):
        see(own, target[:0])
    with pytest.raises(ValueError, match="needs finite logits"):
        see(own, target / 0)
