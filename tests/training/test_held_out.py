"""Outputs on held-out source images: when they are kept, where, and when they are forgotten."""

import numpy as np
import pytest
import torch

from dacbn.adapter import DomainAdapter
from dacbn.datasets import TensorImages, labelled
from dacbn.training import read_held_out, run_held_out, run_network, save_held_out
from dacbn.training import validator_inputs as limits
from dacbn.training.held_out import HELD_OUT


@pytest.fixture
def trained(tiny, source, target, tmp_path):
    """An adapter trained with a source test set, in a run folder."""
    return tiny(norm="domain_specific_batch_norm").fit(
        source, target[0], source_test=source, run=tmp_path / "run"
    )


def test_a_training_keeps_the_outputs_on_its_source_test_set(trained, source, tmp_path):
    images = labelled(*source, size=32).images
    expected = run_network(trained.network, images, 0, torch.device("cpu")).logits
    for each in (
        trained.held_out,
        read_held_out(tmp_path / "run", 2),
        DomainAdapter.from_pretrained(tmp_path / "run", device="cpu").held_out,
    ):
        torch.testing.assert_close(each.logits, expected)
        assert each.labels.tolist() == source[1].tolist()


def test_a_subset_of_many_images_is_run(trained, source, monkeypatch):
    monkeypatch.setattr(limits, "MAX_IMAGES", 7)
    images = labelled(*source, size=32)
    found = run_held_out(trained.network, [(images, 0)], torch.device("cpu"))
    rows = limits.sample_rows(20)
    assert len(found.logits) == 7 and torch.equal(found.labels, images.labels[rows])
    again = run_held_out(trained.network, [(images, 0)], torch.device("cpu"))
    assert torch.equal(found.logits, again.logits)


def test_without_a_test_set_nothing_is_kept(tiny, source, target, tmp_path):
    adapter = tiny().fit(source, target[0], target_test=target, run=tmp_path / "run")
    assert adapter.held_out is None and not (tmp_path / "run" / HELD_OUT).exists()
    with pytest.raises(ValueError, match=r"^label_shift needs outputs on held-out source images: "):
        adapter.predict(target[0], label_shift="em")
    assert adapter.hold_out(source).predict(target[0], label_shift="em").shape == (17,)


def test_an_adapted_network_has_none(trained, target):
    assert trained.held_out is not None
    assert trained.adapt(target[0], steps=1).held_out is None


def test_a_longer_training_writes_them_anew(trained, tiny, source, target, tmp_path, monkeypatch):
    longer = tiny(norm="domain_specific_batch_norm", steps=9)
    seen = []

    def look(*_):
        seen.append((tmp_path / "run" / HELD_OUT).exists())

    monkeypatch.setattr("dacbn.training.loop.Records.add", look)
    before = trained.held_out.logits
    longer.fit(source, target[0], source_test=source, run=tmp_path / "run", resume=True)
    assert seen and not any(seen)
    assert not torch.equal(read_held_out(tmp_path / "run", 2).logits, before)


def test_they_travel_with_a_saved_adapter(trained, target, tmp_path):
    trained.recalibrate(target[0]).save_pretrained(tmp_path / "copy")
    copy = DomainAdapter.from_pretrained(tmp_path / "copy", device="cpu")
    assert torch.equal(copy.held_out.logits, trained.held_out.logits)
    trained.held_out = None
    trained.save_pretrained(tmp_path / "copy")
    assert DomainAdapter.from_pretrained(tmp_path / "copy", device="cpu").held_out is None


def test_features_of_a_frozen_backbone_are_held_out_too(tiny, source, target):
    adapter = tiny(train="head", method="source_only").fit(source, target[0], source_test=source)
    kept = adapter.held_out
    assert adapter.hold_out(source).held_out is not kept
    torch.testing.assert_close(adapter.held_out.logits, kept.logits)


def test_what_cannot_be_read_is_not_used_and_said(trained, tmp_path):
    path = tmp_path / "run" / HELD_OUT
    whole, held_out = path.read_bytes(), trained.held_out
    wrong = [
        held_out._replace(labels=held_out.labels + 2),
        held_out._replace(logits=held_out.logits[:, :1].contiguous()),
        held_out._replace(labels=held_out.labels.float()),
        held_out._replace(labels=held_out.labels[:0], logits=held_out.logits[:0]),
    ]
    damaged = [whole[:50], b""]
    for each in wrong:
        save_held_out(tmp_path / "run", each)
        damaged.append(path.read_bytes())
    for content in damaged:
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=r"held_out\.safetensors is not used: .*; delete it"):
            adapter = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu")
        assert adapter.held_out is None
    path.unlink()
    assert read_held_out(tmp_path / "run", 2) is None


@pytest.mark.filterwarnings("ignore:label shift between 2 classes")
def test_every_prediction_is_corrected_alike(trained, target):
    images, labels = target
    probabilities = trained.predict_proba(images, label_shift="em")
    assert not np.allclose(probabilities, trained.predict_proba(images))
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    answers = trained.answers(images, label_shift="em")
    np.testing.assert_array_equal([each.probabilities for each in answers], probabilities)
    predicted = trained.predict(images, label_shift="em")
    np.testing.assert_array_equal(predicted, probabilities.argmax(1))
    assert trained.score((images, labels), label_shift="em") == (predicted == labels).mean()
    nothing = TensorImages(torch.zeros(0, 3, 32, 32, dtype=torch.uint8))
    assert trained.outputs(nothing, label_shift="em").logits.shape == (0, 2)


def test_adapting_while_predicting_is_refused(trained, target):
    with pytest.raises(ValueError, match="adapt changes the network while it predicts"):
        trained.predict(target[0], adapt="tent", label_shift="em")
