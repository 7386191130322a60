"""Answers "unknown": the threshold, the scores, and trainings with a target of other classes."""

import math

import numpy as np
import pytest
import torch
from flat_network import flat_network
from scipy.special import softmax
from scipy.stats import entropy

from dacbn.adapter import DomainAdapter
from dacbn.batch import Output
from dacbn.label_shift import check_estimator
from dacbn.training import name_scores, read_run_info, score_answers
from dacbn.training.unknown import answer, choose_threshold


def otsu(values):
    """Choose the split with the least variance within the two parts, by trying all."""
    values = np.sort(values)
    within = [
        part[0].var() * len(part[0]) + part[1].var() * len(part[1])
        for part in ((values[:k], values[k:]) for k in range(1, len(values)))
    ]
    place = int(np.argmin(within)) + 1
    return (values[place - 1] + values[place]) / 2


@pytest.mark.parametrize("count", [2, 3, 10, 200])
def test_the_threshold_is_the_split_with_the_least_variance_within(count):
    logits = 4 * torch.randn(count, 5, generator=torch.Generator().manual_seed(count))
    entropies = entropy(softmax(logits.double().numpy(), 1), axis=1)
    assert choose_threshold(logits) == pytest.approx(otsu(entropies), rel=1e-9)


def test_planted_groups_are_told_apart():
    draw = torch.Generator().manual_seed(0)
    certain = 12 * torch.eye(4)[torch.arange(90) % 4] + 0.3 * torch.randn(90, 4, generator=draw)
    uncertain = 0.3 * torch.randn(30, 4, generator=draw)
    logits = torch.cat([certain, uncertain])
    labels = answer(flat_network(4), Output(logits, logits), choose_threshold(logits))
    assert labels[:90].tolist() == (torch.arange(90) % 4).tolist()
    assert labels[90:].tolist() == [4] * 30


@pytest.mark.parametrize("logits", [torch.zeros(1, 3), torch.zeros(7, 3), 1e4 * torch.eye(3)])
def test_equal_or_extreme_predictions_have_a_threshold_that_rejects_none(logits):
    threshold = choose_threshold(logits)
    assert (
        math.isfinite(threshold)
        and (answer(flat_network(), Output(logits, logits), threshold) < 3).all()
    )


def score_slowly(answers, labels, known):
    """Score by loops over the definitions."""
    shares = {
        k: np.mean([a == y for a, y in zip(answers, labels, strict=True) if y == k])
        for k in sorted(set(labels))
    }
    of_known = np.mean([share for k, share in shares.items() if k < known])
    return of_known, shares[known], 2 / (1 / of_known + 1 / shares[known])


def test_scores_follow_their_definitions():
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 300)
    labels[labels == 1] = 0  # a class that does not occur
    answers = np.where(random.random(300) < 0.6, labels, random.integers(0, 5, 300))
    scores = score_answers(torch.tensor(answers), torch.tensor(labels), 4)
    known, unknown, both = score_slowly(answers.tolist(), labels.tolist(), 4)
    assert scores["known_accuracy"] == pytest.approx(known)
    assert scores["unknown_accuracy"] == pytest.approx(unknown)
    assert scores["h_score"] == pytest.approx(both)
    assert scores["classes_present"] == 3
    assert scores["accuracy"] == pytest.approx((answers == labels).mean())
    assert scores["class_accuracy"] == pytest.approx((3 * known + unknown) / 4)


def test_a_target_with_all_classes_and_no_others_has_the_usual_scores():
    scores = score_answers(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), 2)
    assert scores == {"accuracy": pytest.approx(2 / 3), "class_accuracy": 0.75, "images": 3}


def test_nothing_right_has_an_h_score_of_zero():
    scores = score_answers(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 2]), 2)
    assert scores["h_score"] == 0


def test_a_measure_that_one_domain_lacks_is_not_averaged():
    scores = name_scores(
        "target_test", {"a": {"accuracy": 1.0, "h_score": 0.5}, "b": {"accuracy": 0.0}}
    )
    assert scores == {
        "target_test_accuracy": 0.5,
        "target_test_accuracy/a": 1.0,
        "target_test_accuracy/b": 0.0,
        "target_test_h_score/a": 0.5,
    }


@pytest.fixture
def open_target(target):
    images, labels = target
    return images, np.where(np.arange(len(labels)) % 3 == 0, 5, labels)


@pytest.fixture
def open_run(tiny, source, open_target, tmp_path):
    adapter = tiny(unknown=True, eval_every=3)
    return adapter.fit(
        source, open_target, source_test=source, target_test=open_target, run=tmp_path / "run"
    )


def test_a_run_keeps_its_threshold_and_answers_by_it(open_run, open_target, tmp_path):
    last = open_run.records[-1]
    info = read_run_info(tmp_path / "run")
    assert info.unknown_threshold == last["unknown_threshold"]
    loaded = DomainAdapter.from_pretrained(tmp_path / "run", "cpu")
    found = loaded.predict(open_target[0])
    p = loaded.predict_proba(open_target[0]).astype(np.float64)
    wanted = np.where(entropy(p, axis=1) > info.unknown_threshold, 2, p.argmax(1))
    assert found.tolist() == wanted.tolist()
    names = [("0", "1", "unknown")[label] for label in found]
    assert [each.label for each in loaded.answers(open_target[0])] == names
    scores = loaded.evaluate(open_target)
    for name in ("known_accuracy", "unknown_accuracy", "h_score", "accuracy"):
        assert scores[name] == pytest.approx(last[f"target_test_{name}"])
    loaded.save_pretrained(tmp_path / "copy")
    assert read_run_info(tmp_path / "copy").unknown_threshold == info.unknown_threshold


def test_target_labels_do_not_move_the_threshold(tiny, source, target, open_target, untimed):
    runs = [
        tiny(unknown=True).fit(source, data, source_test=source)
        for data in (target, open_target[0])
    ]
    assert untimed(runs[0].records) == untimed(runs[1].records)
    assert "unknown_threshold" in runs[0].records[-1]


def test_the_same_training_without_the_setting_learns_the_same(tiny, source, target, weights):
    first, second = (tiny(unknown=choice).fit(source, target[0]) for choice in (False, True))
    assert weights(first) == weights(second)


def test_a_resumed_run_has_the_threshold_of_one_in_a_single_piece(
    tiny, source, open_target, tmp_path, weights
):
    whole = tiny(unknown=True, schedule="constant", method="source_only")
    parts = tiny(unknown=True, schedule="constant", method="source_only", steps=4)
    whole.fit(source, open_target[0], run=tmp_path / "whole")
    parts.fit(source, open_target[0], run=tmp_path / "parts")
    longer = tiny(unknown=True, schedule="constant", method="source_only")
    longer.fit(source, open_target[0], run=tmp_path / "parts", resume=True)
    assert weights(longer) == weights(whole)
    thresholds = [read_run_info(tmp_path / name).unknown_threshold for name in ("whole", "parts")]
    assert thresholds[0] == thresholds[1] is not None


def test_recalibration_moves_the_threshold(open_run, target):
    before = open_run._threshold
    open_run.recalibrate(target[0])
    assert open_run._threshold == choose_threshold(
        open_run.outputs(open_run.images_of(target[0])).logits
    )
    assert open_run._threshold != before


def test_an_adaptation_without_source_chooses_its_own(open_run, open_target):
    adapted = open_run.adapt(open_target[0], "shot", target_test=open_target, steps=2)
    assert adapted.records[-1]["unknown_threshold"] == adapted._threshold
    assert "target_test_h_score" in adapted.records[-1]


def test_a_network_without_a_threshold_says_so(open_run, target):
    open_run._threshold = None
    with pytest.raises(ValueError, match=r"no threshold for unknown yet.*train on"):
        open_run.predict(target[0])


def test_other_classes_without_the_setting_are_refused(tiny, source, open_target):
    with pytest.raises(ValueError, match=r"labels \['5'\] are not among.*unknown=True"):
        tiny().fit(source, open_target[0], target_test=open_target)


def test_a_source_test_with_other_classes_is_always_refused(tiny, source, open_target):
    with pytest.raises(ValueError, match="not among"):
        tiny(unknown=True).fit(source, open_target[0], source_test=open_target)


def test_of_several_targets_those_with_unknown_images_are_scored_for_them(
    tiny, source, target, open_target
):
    options = {"source_batch_size": 6, "target_batch_size": 6, "unknown": True}
    targets, tests = [target, open_target], [target, open_target]
    adapter = tiny(**options).fit([source, source], targets, target_test=tests)
    last = adapter.records[-1]
    assert "target_test_h_score/target 2" in last
    assert "target_test_h_score" not in last and "target_test_h_score/target 1" not in last
    scores = adapter.evaluate(open_target, "target 2")
    assert scores["h_score"] == pytest.approx(last["target_test_h_score/target 2"])


def test_a_source_with_a_class_named_unknown_is_refused(tiny, source, target):
    names = np.array(["cup", "unknown"])[source[1]]
    with pytest.raises(ValueError, match="class named 'unknown'"):
        tiny(unknown=True).fit((source[0], names), target[0])


def test_an_output_for_unknown_decides_is_saved_and_is_resumed(
    tiny, source, open_target, tmp_path, weights
):
    def fit(steps, name, resume=False, **options):
        adapter = tiny(method="osbp", unknown=True, steps=steps, schedule="constant", **options)
        tests = {"target_test": open_target, "run": tmp_path / name, "resume": resume}
        return adapter.fit(source, open_target[0], **tests)

    whole, _, parts = fit(6, "whole"), fit(4, "parts"), fit(6, "parts", resume=True)
    assert weights(whole) == weights(parts)
    loaded = DomainAdapter.from_pretrained(tmp_path / "whole", "cpu")
    output = loaded.outputs(loaded.images_of(open_target[0]))
    with torch.no_grad():
        own = loaded.network.unknown(output.features)
    wanted = torch.cat([output.logits, own], 1).argmax(1)
    assert loaded.predict(open_target[0]).tolist() == wanted.tolist()
    assert loaded.predict_proba(open_target[0]).shape == (17, 2)
    scores = loaded.evaluate(open_target)
    assert scores["h_score"] == pytest.approx(whole.records[-1]["target_test_h_score"])
    averaged = fit(6, "averaged", ema_decay=0.9)
    again = DomainAdapter.from_pretrained(tmp_path / "averaged", "cpu")
    assert torch.equal(again.network.unknown.weight, averaged.network.unknown.weight)


def test_without_the_setting_the_output_is_left_out_of_the_answers(tiny, source, target):
    adapter = tiny(method="osbp").fit(source, target[0], target_test=target)
    with torch.no_grad():
        adapter.network.unknown.bias.fill_(100.0)
    assert set(adapter.predict(target[0]).tolist()) <= {0, 1}
    assert "unknown_threshold" not in adapter.records[-1]


def test_a_network_with_such_an_output_is_not_adapted_without_the_source(tiny, source, target):
    adapter = tiny(method="osbp").fit(source, target[0])
    with pytest.raises(ValueError, match="osbp has an output for unknown classes"):
        adapter.adapt(target[0])


def test_shares_of_known_classes_are_not_corrected_where_answers_may_be_unknown():
    with pytest.raises(ValueError, match=r'may answer "unknown", .*: leave out label_shift'):
        check_estimator("em", unknown=True)
    check_estimator("em")
