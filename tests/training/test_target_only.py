"""Adaptation without the source: from one run to another, and what it cannot see."""

import inspect

import numpy as np
import pytest
import torch

from dacbn.adapter import DomainAdapter, NotFittedError
from dacbn.batch import TargetBatch
from dacbn.datasets import labelled, stream_batches, stream_target, unlabelled
from dacbn.training import RunFolderError, load_checkpoint, read_records

STEPS = {"steps": 6, "target_batch_size": 5, "checkpoint_every": 2}


@pytest.fixture
def trained(tiny, source, target):
    return tiny(method="source_only(label_smoothing=0.1)").fit(source, target[0])


def test_what_an_adaptation_receives_has_no_field_for_the_source_or_for_labels():
    assert TargetBatch._fields == ("target_images", "target_indices")
    names = [*inspect.signature(DomainAdapter.adapt).parameters]
    assert not [name for name in names if "source" in name]


def test_batches_of_the_target_alone_are_those_of_a_training(source, target):
    images = unlabelled(target[0])
    shared = {"family": "none", "seed": 3, "device": "cpu", "stop": 7}
    both = stream_batches(
        [labelled(*source)],
        [images],
        source_batch_size=4,
        target_batch_size=5,
        strong=False,
        **shared,
    )
    alone = [*stream_target(images, batch_size=5, **shared)]
    for batch, pair in zip(alone, both, strict=True):
        assert torch.equal(batch.target_images, pair.target_images)
        pixels = images.images.pixels[batch.target_indices].float() / 255
        assert torch.equal(batch.target_images, pixels)
    late = [*stream_target(images, batch_size=5, start=4, **shared)]
    assert torch.equal(late[0].target_indices, alone[4].target_indices)


def test_an_adapted_network_keeps_its_last_layer_and_answers(trained, target, weights):
    before, images = weights(trained), target[0]
    first = trained.network
    trained.adapt(images, "shot(rounds=2)", lr=0.01, log_every=1, **STEPS)
    after = weights(trained)
    assert trained.network is not first
    assert {name for name in before if before[name] != after[name]} >= {"backbone.layers.0.weight"}
    assert after["classifier.weight"] == before["classifier.weight"]
    assert trained.predict_proba(images).shape == (17, 2)
    assert trained.config.method == "shot(rounds=2)" and trained.config.target == ("in memory",)
    rows = [row for row in trained.records if "information" in row]
    assert len(rows) == 6 and all(np.isfinite([*row.values()]).all() for row in rows)


@pytest.mark.parametrize("with_test", [False, True])
def test_its_evaluations_have_the_scores_that_need_no_source(trained, target, with_test):
    images = target[0]
    names = ("source_accuracy", "bnm", "dev", "entropy", "nearest_source")
    test = target if with_test else None
    trained.adapt(images, target_test=test, eval_every=3, validators=names, **STEPS)
    rows = [row for row in trained.records if "validator_bnm" in row]
    assert [row["step"] for row in rows] == [3, 6]
    found = [[name for name in row if name.startswith("validator_")] for row in rows]
    assert found == [["validator_bnm", "validator_entropy"]] * 2
    assert all(("target_test_accuracy" in row) == with_test for row in rows)
    p = trained.predict_proba(images)
    certainty = np.mean(np.sum(p * np.log(p), axis=1))
    assert rows[-1]["validator_entropy"] == pytest.approx(certainty, rel=1e-4)


def test_nothing_is_recorded_where_there_is_nothing_to_score_by(trained, target):
    trained.adapt(target[0], eval_every=3, validators=(), **STEPS)
    assert all("lr" in row for row in trained.records)


def test_a_run_is_left_as_it_is_and_another_is_written(tmp_path, trained, target):
    trained.save_pretrained(tmp_path / "first")
    before = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    adapter = DomainAdapter.from_pretrained(tmp_path / "first", device="cpu")
    adapter.adapt(target[0], target_test=target, run=tmp_path / "second", **STEPS)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    again = DomainAdapter.from_pretrained(tmp_path / "second", device="cpu")
    assert np.array_equal(again.predict_proba(target[0]), adapter.predict_proba(target[0]))
    assert "target_test_accuracy" in read_records(tmp_path / "second")[-1]
    with pytest.raises(ValueError, match="holds a run"):
        adapter.adapt(target[0], run=tmp_path / "first")


def test_permuting_target_labels_changes_no_bit(trained, target, weights):
    start = trained.network.state_dict()
    images, labels = target

    def adapted(target, test):
        trained.network.load_state_dict(start)
        network = trained.network
        found = weights(trained.adapt(target, target_test=test, eval_every=2, **STEPS))
        trained._network = network
        return found

    permuted = (images, np.roll(labels, 1))
    assert adapted(target, target) == adapted(permuted, permuted) == adapted(images, None)


def test_a_stopped_adaptation_goes_on_to_the_same_bits(
    tmp_path, trained, target, weights, monkeypatch
):
    trained.save_pretrained(tmp_path / "first")

    def start():
        return DomainAdapter.from_pretrained(tmp_path / "first", device="cpu")

    whole = start().adapt(target[0], "shot(rounds=2)", **STEPS)

    def stop(_):
        raise KeyboardInterrupt  # after step 4, which has been saved

    folder = tmp_path / "second"
    with monkeypatch.context() as patch:
        patch.setattr("dacbn.training.target_only.TargetDomain.scorer", lambda _: stop)
        with pytest.raises(KeyboardInterrupt):
            start().adapt(target[0], "shot(rounds=2)", run=folder, eval_every=5, **STEPS)
    assert load_checkpoint(folder)["step"] == 4
    with pytest.raises(ValueError, match="began with another lr"):
        start().adapt(target[0], "shot(rounds=2)", run=folder, resume=True, lr=1.0, **STEPS)
    again = DomainAdapter.from_run(folder)
    again.adapt(target[0], "shot(rounds=2)", run=folder, resume=True)
    assert weights(again) == weights(whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "dann"}, "unknown source-free method 'dann'. Known: shot"),
        ({"method": "shot(wieght=1)"}, "shot has no option 'wieght', only weight, rounds"),
        ({"norm": None}, "keeps the network it starts from: leave out norm"),
        ({"step": 3}, "unknown option 'step'. Did you mean steps"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"resume": True}, "give its folder as run="),
        ({"target_test": (np.zeros((2, 32, 32)), [0, 2])}, "are not among the classes"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(trained, target, arguments, message):
    network, config = trained.network, trained.config
    with pytest.raises(ValueError, match=message):
        trained.adapt(target[0], **arguments)
    assert trained.network is network and trained.config == config


def test_only_a_trained_network_is_adapted(tmp_path, tiny, trained, source, target):
    with pytest.raises(NotFittedError, match="call fit or from_pretrained first"):
        tiny().adapt(target[0])
    with pytest.raises(ValueError, match="shot adapts a trained network, without its source: use"):
        tiny(method="shot").fit(source, target[0])
    trained.save_pretrained(tmp_path)
    with pytest.raises(RunFolderError, match="ended before its first checkpoint"):
        DomainAdapter.from_run(tmp_path).adapt(target[0], run=tmp_path, resume=True)


@pytest.mark.parametrize("options", [{"ema_decay": 0.9}, {"train": "norms"}])
def test_a_network_that_its_training_froze_is_adapted_as_a_whole(tiny, source, target, options):
    adapter = tiny(method="source_only", steps=1, **options).fit(source, target)
    before = {name: value.clone() for name, value in adapter.network.named_parameters()}
    adapter.adapt(target[0], "shot", steps=1, train="all", lr=0.01)
    after = dict(adapter.network.named_parameters())
    moved = {name for name in before if not before[name].equal(after[name])}
    kernels = {name for name in before if before[name].ndim == 4}
    assert kernels and kernels <= moved


def test_nothing_to_train_is_said(tiny, source, target):
    adapter = tiny(method="source_only", steps=1).fit(source, target)
    with pytest.raises(ValueError, match=r"nothing is left to train: shot freezes .* train='head'"):
        adapter.adapt(target[0], "shot", steps=1, train="head")
