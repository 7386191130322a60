"""An estimate with its interval, and when it cannot tell."""

import numpy as np
import pytest
import torch

from dacbn.estimates import describe, estimate, see, to_json
from dacbn.estimates.estimator import Seen
from dacbn.estimates.past_errors import ALONE, past_reach
from dacbn.label_shift import HeldOut

CLASSES = 4


def draw(count, accuracy, seed, size=4.0, collapse=0.0):
    """Draw labels in turn, and logits that are right of a share of them, and unsure otherwise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    right = random.random(count) < accuracy
    guesses = np.where(right, labels, random.integers(0, CLASSES, count))
    guesses[random.random(count) < collapse] = 0
    noise = random.normal(0, 1, (count, CLASSES))
    logits = noise + np.where(right, size, 1.0)[:, None] * np.eye(CLASSES)[guesses]
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)


def outputs(source=0.95, target=0.75, counts=(400, 400), **options):
    held_out = HeldOut(*draw(counts[0], source, 0))
    logits, labels = draw(counts[1], target, 1, **options)
    return held_out, logits, (logits.argmax(1) == labels).double().mean().item()


def test_the_interval_holds_the_truth_and_the_error_of_the_past():
    held_out, logits, truth = outputs()
    found = estimate(see(held_out, logits))
    assert found.can_tell and found.low < truth < found.high
    assert found.accuracy == pytest.approx(np.mean(list(found.by.values())))
    assert set(found.by) == {"atc", "doc", "cot"} and found.images == 400
    past = past_reach(found.by)
    assert past == pytest.approx(2.365 * ALONE.root_mean_square, rel=1e-3)  # t, 7 degrees
    assert past < found.accuracy - found.low < past + 0.1


def test_few_images_widen_the_interval(monkeypatch):
    monkeypatch.setattr("dacbn.estimates.accuracy.past_reach", lambda _: 0)
    wide, narrow = (
        estimate(see(*outputs(counts=counts)[:2])) for counts in ((400, 40), (400, 4000))
    )
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_a_second_training_is_counted():
    held_out, logits, _ = outputs()
    other = HeldOut(draw(400, 0.95, 5)[0], held_out.labels), draw(400, 0.75, 6)[0]
    found = estimate(see(held_out, logits, other))
    assert set(found.by) == {"atc", "doc", "cot", "gde"}
    assert past_reach(found.by) != past_reach({"atc": 1.0})


def test_an_estimate_is_the_same_each_time():
    seen = see(*outputs()[:2])
    assert estimate(seen) == estimate(seen)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"counts": (400, 12)}, "only 12 images"),
        ({"counts": (12, 400)}, "only 12 held-out source images"),
        ({"counts": (400, 1)}, "only 1 image"),
        ({"source": 0.2, "target": 0.2}, "of the source is right"),
        ({"target": 0.9, "collapse": 0.8}, "would have to change class to match the source's"),
    ],
)
def test_thin_evidence_cannot_tell_and_says_why(options, reason):
    found = estimate(see(*outputs(**options)[:2]))
    assert not found.can_tell
    assert any(reason in each for each in found.thin), found.thin
    assert describe(found).startswith("cannot tell from ") and reason in describe(found)
    written = to_json(found)
    assert written["accuracy"] is None and written["low"] is None
    assert written["cannot_tell"] == list(found.thin)


@pytest.mark.parametrize(("left", "said"), [(0, "errs on none of"), (2, "errs on 2 of"), (3, "")])
def test_a_source_that_is_answered_without_mistakes_shows_none(left, said):
    held_out, logits, _ = outputs()
    wrong = (held_out.logits.argmax(1) != held_out.labels).nonzero()[left:, 0]
    held_out.logits[wrong, held_out.labels[wrong]] += 9.0
    thin = estimate(see(held_out, logits)).thin
    assert any(f"{said} 400 held-out source images" in each for each in thin) == bool(said)


def test_reasons_that_are_known_elsewhere_are_added():
    found = estimate(see(*outputs()[:2]), ("mcc made it sure",))
    assert found.thin == ("mcc made it sure",) and not found.can_tell


def test_estimators_that_disagree_cannot_tell():
    held_out, logits, _ = outputs()
    other = HeldOut(held_out.labels.eq(torch.arange(4)[:, None]).T * 5.0, held_out.labels)
    found = estimate(see(held_out, logits, (other, logits.flip(1))))
    assert any(each.startswith("estimators disagree (atc ") for each in found.thin)


def test_a_network_that_is_sure_of_everything_cannot_be_told():
    labels = torch.arange(400) % CLASSES
    logits = 60 * torch.eye(CLASSES)[labels]
    found = estimate(see(HeldOut(logits, labels), logits))
    assert any("equally sure of all images" in each for each in found.thin)


def test_an_estimate_in_words():
    found = estimate(see(*outputs()[:2]))
    text = describe(found)
    assert f"{100 * found.accuracy:.0f} % estimated ({100 * found.low:.0f} to " in text
    assert text.endswith("without labels, of 400 images")
    assert to_json(found)["accuracy"] == found.accuracy


def test_there_is_no_field_for_labels_of_the_target():
    assert Seen._fields == ("source", "target", "labels", "num_classes", "second")
    held_out, logits, _ = outputs(counts=(300, 200))
    seen = see(held_out, logits)
    assert len(seen.labels) == 300 and {len(each) for each in seen.target} == {200}
    assert estimate.__annotations__["seen"] is Seen
