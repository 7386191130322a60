"""What runs keep of their test images, and their comparison with what they started from."""

import dataclasses
import signal

import numpy as np
import pytest
import torch
from same_runs import tiny_digits

from dacbn import DomainAdapter
from dacbn.datasets import FeatureViews, LabelledImages, TensorImages
from dacbn.intervals import paired
from dacbn.training import InterruptedTraining
from dacbn.training.against import compare_kept, compare_right, compare_tests, describe_against
from dacbn.training.right_answers import (
    RIGHT_ANSWERS,
    digest_test,
    drop_right,
    read_right,
    save_right,
    started,
)
from dacbn.training.siblings import find_baseline

TESTED = {"norm": "batch_norm", "eval_every": 2, "steps": 4}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Train without and with adaptation, in the same folder."""
    root = tmp_path_factory.mktemp("runs")
    (source,), (target,) = tiny_digits(root)
    batches = {"source_batch_size": 6, "target_batch_size": 5}
    for name, options in (("none", {}), ("dann", {}), ("fast", {"lr": 0.02})):
        method = "source_only" if name == "none" else "dann"
        adapter = DomainAdapter(**TESTED, **batches, **options, method=method, device="cpu")
        adapter.fit(source, target, source_test=source, target_test=target, run=root / name)
    return root


def test_a_run_keeps_which_test_images_the_trained_network_answers_rightly(runs):
    adapter = DomainAdapter.from_pretrained(runs / "dann", "cpu")
    kept = {
        name: right
        for name, right in read_right(runs / "dann").items()
        if not name.startswith(("labels of ", "pixels of "))
    }
    assert set(kept) == {"source_test plain.npz", "target_test inverted.npz"}
    for name, right in kept.items():
        assert right.tolist() == adapter.right(runs / name.split()[1]).tolist()


def test_runs_of_a_folder_that_differ_by_the_method_alone_are_compared(runs):
    ours, theirs = (
        read_right(runs / name)["target_test inverted.npz"].numpy() for name in ("dann", "none")
    )
    (beside,) = compare_kept(runs / "dann")
    assert beside == ("inverted.npz", "source_only", compare_right(ours, theirs))
    counts = [(ours & theirs), (ours & ~theirs), (~ours & theirs), (~ours & ~theirs)]
    assert beside.found.interval == paired(*(int(each.sum()) for each in counts))
    assert compare_kept(runs / "none") == compare_kept(runs / "fast") == []
    assert find_baseline(runs / "dann") == runs / "none"


def test_a_training_from_a_probe_is_compared_with_it_also_when_it_was_resumed(
    tiny, source, target, tmp_path
):
    options = {"classifier_start": "probe", "backbone": "digits_cnn", "method": "source_only"}
    adapter = tiny(**TESTED, **options)
    adapter.fit(source, target[0], target_test=target, run=tmp_path / "run")
    first = started(read_right(tmp_path / "run"))
    ((_, name, found),) = compare_kept(tmp_path / "run")
    assert name == "the linear probe of its first features" and found.images == len(target[1])
    assert found.accuracy == pytest.approx(first["target_test target"].double().mean())
    longer = dataclasses.replace(adapter.config, steps=8)
    again = type(adapter).from_run(tmp_path / "run")
    again.config = longer
    again.fit(source, target[0], target_test=target, run=tmp_path / "run", resume=True)
    kept = started(read_right(tmp_path / "run"))
    assert all(kept[each].equal(first[each]) for each in first)


def test_an_adaptation_is_compared_with_the_run_that_it_started_from(runs):
    adapter, place = DomainAdapter.from_pretrained(runs / "none", "cpu"), runs / "inverted.npz"
    before = adapter.right(place)
    options = {"target_test": place, "run": runs / "adapted", "steps": 2}
    adapter.adapt(place, "shot", **options)
    (beside,) = compare_kept(runs / "adapted")
    assert beside.baseline == "the run that it started from"
    assert beside.found == compare_right(adapter.right(place), before)


def test_tests_of_other_images_are_not_compared_and_damage_is_said(tmp_path):
    ours = {"target_test a": torch.ones(4).bool(), "source_test b": torch.ones(4).bool()}
    assert compare_tests(ours, {"target_test a": torch.ones(5).bool()}) == {}
    assert compare_tests(ours, {"source_test b": torch.ones(4).bool()}) == {}
    assert read_right(tmp_path) == {}
    save_right(None, ours)
    save_right(tmp_path, ours, start=True)
    save_right(tmp_path, ours)
    assert len(read_right(tmp_path)) == 4 and set(started(read_right(tmp_path))) == set(ours)
    (tmp_path / RIGHT_ANSWERS).write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=f"{RIGHT_ANSWERS} is not used"):
        assert read_right(tmp_path) == {}


@pytest.mark.parametrize("other", ["pixels", "labels", "classes"])
def test_test_sets_of_one_name_and_size_are_compared_only_where_they_are_the_same(other):
    pixels, labels = torch.arange(4 * 3 * 4, dtype=torch.uint8).reshape(4, 3, 2, 2), [0, 0, 1, 1]
    name, right = "target_test a", torch.tensor([True, True, False, True])

    def digests(pixels=pixels, labels=labels, classes=("x", "y")):
        given = LabelledImages(TensorImages(pixels), torch.tensor(labels), classes)
        return {name: right} | digest_test(name, given)

    changed = {"pixels": pixels + 1, "labels": [0, 1, 1, 0], "classes": ("x", "z")}
    assert compare_tests(digests(), digests(**{other: changed[other]})) == {}
    again = digests(pixels.clone())
    assert set(compare_tests(digests(), again)) == set(compare_tests({name: right}, again)) == {"a"}


def test_other_sizes_and_places_of_the_same_images_are_compared_by_their_labels():
    name, labels = "target_test a", torch.tensor([0, 1, 1])
    of = [TensorImages(torch.zeros(3, 3, size, size, dtype=torch.uint8)) for size in (2, 4)]
    small, large, elsewhere = (
        {name: labels > 0} | digest_test(name, LabelledImages(images, labels, ("x", "y")))
        for images in (*of, FeatureViews(torch.zeros(3, 1, 2), 2))
    )
    assert len(small) == len(large) == 3 and len(elsewhere) == 2
    assert set(compare_tests(small, large)) == set(compare_tests(small, elsewhere)) == {"a"}


def test_a_continuation_that_was_stopped_keeps_no_answers_of_an_earlier_step(
    tiny, source, target, tmp_path
):
    options = {"classifier_start": "probe", "backbone": "digits_cnn", "method": "source_only"}
    adapter = tiny(**TESTED, **options)
    adapter.fit(source, target[0], target_test=target, run=tmp_path)
    first = read_right(tmp_path)
    again = type(adapter).from_run(tmp_path)
    again.config = dataclasses.replace(adapter.config, steps=8)
    with pytest.raises(InterruptedTraining):
        again.fit(
            *(source, target[0]),
            target_test=target,
            run=tmp_path,
            resume=True,
            on_evaluation=lambda step, scores: signal.raise_signal(signal.SIGINT),
        )
    kept = read_right(tmp_path)
    assert {f"start {name}" for name in started(first)} == set(kept) < set(first)
    assert not any(name.startswith("start ") for name in started(kept))


def test_nothing_is_left_where_only_an_earlier_step_answered(tmp_path):
    drop_right(tmp_path)
    assert not (tmp_path / RIGHT_ANSWERS).exists()
    save_right(tmp_path, {"target_test a": torch.ones(4).bool()})
    drop_right(tmp_path)
    assert read_right(tmp_path) == {}


def test_a_difference_that_the_images_do_not_support_is_called_so():
    ours, theirs = np.arange(40) % 2 == 0, np.arange(40) % 3 == 0
    found = compare_right(ours, theirs)
    assert describe_against("t", "x", found).endswith(
        "of the same 40 images: they cannot be told apart"
    )
