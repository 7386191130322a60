"""Label-free scores beside the test accuracies of a training's records."""

import numpy as np
import pytest
import torch

from dacbn.batch import Output
from dacbn.datasets import TensorImages, UnlabelledImages
from dacbn.registry import UnknownNameError
from dacbn.training import TrainConfig, validators
from dacbn.training.validator_inputs import (
    MAX_IMAGES,
    ImageSubset,
    collect_validator_inputs,
    sample_rows,
)


def scores(adapter):
    """Read the validators' numbers of every evaluation."""
    rows = [row for row in adapter.records if "source_test_accuracy" in row]
    return [{k: v for k, v in row.items() if k.startswith("validator_")} for row in rows]


@pytest.fixture
def fitted(tiny, source, target):
    def fit(tests=None, **options):
        tests = {"source_test": source, "target_test": target} if tests is None else tests
        return tiny(**{"steps": 4, "eval_every": 2, **options}).fit(source, target, **tests)

    return fit


def test_each_evaluation_has_every_score_that_was_asked_for(fitted):
    found = scores(fitted(validators=tuple(validators)))
    assert len(found) == 2
    for row in found:
        assert list(row) == [f"validator_{name}" for name in validators]
        assert np.isfinite(list(row.values())).all()


def test_the_defaults_are_recorded(fitted):
    names = [f"validator_{name}" for name in TrainConfig().validators]
    assert [list(row) for row in scores(fitted())] == [names, names]


def test_source_accuracy_is_the_one_on_the_source_test(fitted):
    adapter = fitted(validators=("source_accuracy",))
    assert scores(adapter)[-1]["validator_source_accuracy"] == pytest.approx(
        adapter.records[-1]["source_test_accuracy"]
    )


def test_target_scores_are_those_of_the_training_images(fitted, target):
    adapter = fitted(validators=("bnm",))
    p = adapter.predict_proba(target[0])
    assert scores(adapter)[-1]["validator_bnm"] == pytest.approx(
        np.linalg.norm(p, "nuc") / len(p), rel=1e-4
    )


def test_neither_target_labels_nor_a_target_test_change_a_score(fitted, source, target):
    images, labels = target
    relabelled = {"source_test": source, "target_test": (images, 1 - labels)}
    assert scores(fitted()) == scores(fitted(relabelled)) == scores(fitted({"source_test": source}))


def test_without_a_source_test_there_are_no_scores(fitted, target):
    rows = fitted({"target_test": target}).records
    assert "target_test_accuracy" in rows[-1]
    assert not any(key.startswith("validator_") for row in rows for key in row)


def test_scores_change_no_bit_of_the_weights(fitted, weights):
    assert weights(fitted(validators=())) == weights(fitted(validators=tuple(validators)))


def test_no_validator_costs_no_pass(fitted, monkeypatch):
    monkeypatch.setattr("dacbn.training.domains.collect_validator_inputs", None)
    assert scores(fitted(validators=())) == [{}, {}]


def test_an_unknown_name_is_said_at_the_start(tiny):
    with pytest.raises(UnknownNameError, match=r"unknown validator 'bmn'.*Known: .*entropy"):
        tiny(validators=("bmn",))


def test_a_run_is_resumed_with_other_validators(tiny, source, target, tmp_path):
    for steps, names in ((4, ("entropy",)), (6, ("bnm", "snd"))):
        adapter = tiny(steps=steps, validators=names)
        adapter.fit(source, target, source_test=source, run=tmp_path / "run", resume=steps == 6)
    assert [list(row) for row in scores(adapter)] == [
        ["validator_entropy"],
        ["validator_bnm", "validator_snd"],
    ]


def test_large_domains_are_judged_by_the_same_few_images_every_time():
    rows = sample_rows(3 * MAX_IMAGES)
    assert len(rows) == len(set(rows.tolist())) == MAX_IMAGES and rows.max() > 2 * MAX_IMAGES
    assert torch.equal(rows, rows.sort().values) and torch.equal(rows, sample_rows(3 * MAX_IMAGES))
    assert sample_rows(5).tolist() == [0, 1, 2, 3, 4]


def test_inputs_of_large_domains_is_bounded():
    class Brightness(torch.nn.Module):
        def forward(self, images, ids):
            assert (ids == 1).all()
            value = images.mean((1, 2, 3))[:, None]
            return value, value.expand(-1, 2)

    pixels = (torch.arange(MAX_IMAGES + 100) % 256).to(torch.uint8)[:, None, None, None]
    target = UnlabelledImages(TensorImages(pixels.expand(-1, 3, 1, 1)))
    features = torch.arange(MAX_IMAGES + 50.0)[:, None]
    labels, device = torch.arange(MAX_IMAGES + 50), torch.device("cpu")
    source = Output(features, features)
    inputs = collect_validator_inputs(Brightness(), (source, labels), [target], [1], device)
    assert len(inputs.source_labels) == len(inputs.target.features) == MAX_IMAGES
    assert torch.equal(inputs.source.features[:, 0].long(), inputs.source_labels)
    rows = sample_rows(MAX_IMAGES + 100)
    torch.testing.assert_close(inputs.target.features[:, 0], (rows % 256) / 255)


def test_some_images_are_those_of_their_rows():
    images = TensorImages(
        torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    )
    some = ImageSubset(images, torch.tensor([5, 0, 3]))
    assert len(some) == 3 and some.size == 2
    assert some.gather(torch.tensor([2, 0]))[:, 0, 0, 0].tolist() == [3, 5]
