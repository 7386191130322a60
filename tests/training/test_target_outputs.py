"""Outputs on unlabelled target images: when they are kept, and what is estimated from them."""

import json
import shutil

import numpy as np
import pytest
import torch

from dacbn.adapter import DomainAdapter
from dacbn.estimates import estimate, see
from dacbn.training import validator_inputs as limits
from dacbn.training.estimated_run import estimate_run, read_kept
from dacbn.training.siblings import find_baseline, find_second
from dacbn.training.target_outputs import TARGET_OUTPUTS, read_target_outputs


@pytest.fixture
def train(tiny, source, target, tmp_path):
    """Train into a run folder, by name."""

    def fit(name, labels=None, **options):
        given = target[0] if labels is None else (target[0], labels)
        return tiny(**{"method": "source_only", **options}).fit(
            source, given, source_test=source, run=tmp_path / "runs" / name
        )

    return fit


def test_a_training_keeps_the_outputs_on_its_target(train, target, tmp_path):
    adapter = train("a")
    (logits,) = read_target_outputs(tmp_path / "runs" / "a", 2)
    expected = adapter.outputs(adapter.images_of(target[0]), 1).logits
    torch.testing.assert_close(logits, expected)


def test_labels_of_the_target_change_nothing_that_is_kept_or_estimated(train, target, tmp_path):
    train("with", target[1])
    train("turned", 1 - target[1])
    train("without")
    runs = [tmp_path / "runs" / name for name in ("with", "turned", "without")]
    kept = {(run / TARGET_OUTPUTS).read_bytes() for run in runs}
    assert len(kept) == 1
    assert estimate_run(runs[0]) == estimate_run(runs[1]) == estimate_run(runs[2]) != ()


def test_a_sample_of_many_images_is_kept(train, monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "MAX_IMAGES", 7)
    train("a")
    assert [len(each) for each in read_target_outputs(tmp_path / "runs" / "a", 2)] == [7]


def test_without_a_source_test_set_nothing_is_kept(tiny, source, target, tmp_path):
    tiny().fit(source, target[0], run=tmp_path / "run")
    assert not (tmp_path / "run" / TARGET_OUTPUTS).exists()
    assert estimate_run(tmp_path / "run") == ()


def test_an_adapted_network_forgets_them(train, target, tmp_path):
    adapter = train("a")
    shutil.copytree(tmp_path / "runs" / "a", tmp_path / "b")
    (tmp_path / "b" / "config.json").unlink()
    adapter.adapt(target[0], steps=1, run=tmp_path / "b")
    assert not (tmp_path / "b" / TARGET_OUTPUTS).exists()


def test_damaged_outputs_are_named_and_not_used(train, tmp_path):
    train("a")
    path = tmp_path / "runs" / "a" / TARGET_OUTPUTS
    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(UserWarning, match=f"{TARGET_OUTPUTS} is not used: .*; delete it"):
        assert read_target_outputs(path.parent, 2) == ()
    train("b")
    with pytest.warns(UserWarning, match="of shape"):
        assert read_target_outputs(tmp_path / "runs" / "b", 3) == ()


def test_an_adapter_estimates_as_its_run_does(train, source, target, tmp_path):
    adapter, second = train("a"), train("b", seed=1)
    kept = read_kept(tmp_path / "runs" / "a")
    expected = estimate(see(kept.held_out, kept.targets[0]))
    assert adapter.estimate(target[0]) == expected == estimate_run(tmp_path / "runs" / "a")[0]
    loaded = DomainAdapter.from_pretrained(tmp_path / "runs" / "a", "cpu")
    assert set(loaded.estimate(target[0], second=second).by) == {"atc", "cot", "doc", "gde"}
    loaded.held_out = None
    with pytest.raises(ValueError, match="an estimate needs outputs on held-out source images"):
        loaded.estimate(target[0])
    assert loaded.hold_out(source).estimate(target[0]).images == len(target[0])


def test_runs_of_a_comparison_are_found(train, tmp_path):
    for name, options in {
        "a probe": {"train": "head"},  # of frozen features, and no baseline of trained ones
        "plain0": {},
        "plain1": {"seed": 1},
        "dann0": {"method": "dann"},
        "other": {"method": "dann", "norm": "group_norm"},
        "dann1": {"method": "dann", "seed": 1},
    }.items():
        train(name, steps=1, **options)
    runs = tmp_path / "runs"
    assert find_second(runs / "dann0") is None  # not a comparison
    (tmp_path / "comparison.json").write_text(json.dumps({}))
    (runs / "no run").mkdir()
    assert find_second(runs / "dann0") == runs / "dann1"
    assert find_second(runs / "other") is None
    assert find_baseline(runs / "dann0") == runs / "plain0"
    assert find_baseline(runs / "dann1") == runs / "plain1"
    assert find_baseline(runs / "other") is None  # another norm
    assert find_baseline(runs / "plain0") is None
    assert "gde" in estimate_run(runs / "dann0")[0].by
    assert "gde" not in estimate_run(runs / "other")[0].by


def test_a_second_training_of_other_images_is_not_compared(train, tiny, source, target, tmp_path):
    train("a")
    tiny(seed=1).fit(source, target[0][:9], source_test=source, run=tmp_path / "b")
    (found,) = estimate_run(tmp_path / "runs" / "a", tmp_path / "b")
    assert "gde" not in found.by and np.isfinite(found.accuracy)
