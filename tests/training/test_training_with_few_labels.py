"""Trainings with a few labelled target images: who takes them, and what a run keeps."""

import json
import signal

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dacbn.adapter import DomainAdapter
from dacbn.datasets import LabelledImages, TensorImages
from dacbn.models import CosineClassifier, create_network
from dacbn.training import InterruptedTraining, Records, start_from_probe
from dacbn.training.features import compute_features

METHODS = ["source_and_target", "mme"]


def ask_to_stop(monkeypatch, step):
    """Press Ctrl-C while the numbers of a step are being written."""
    add = Records.add

    def press(self, at, numbers):
        if at == step:
            signal.raise_signal(signal.SIGINT)
        add(self, at, numbers)

    monkeypatch.setattr(Records, "add", press)


@pytest.fixture
def few(target):
    return target[0][:5], target[1][:5]


@pytest.mark.parametrize("method", ["dann", "source_only", "mcc + dann"])
def test_a_method_that_does_not_take_them_names_those_that_do(method, tiny, source, target, few):
    wanted = r"leave out target_labelled, or set method='mme' or method='source_and_target'$"
    with pytest.raises(ValueError, match=wanted):
        tiny(method=method).fit(source, target, target_labelled=few)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_needs_them_says_so(method, tiny, source, target):
    with pytest.raises(ValueError, match=f"^{method} needs a few labelled target images: give"):
        tiny(method=method).fit(source, target)


def test_there_is_one_set_for_each_target(tiny, source, target, few):
    with pytest.raises(ValueError, match=r"^1 sets of labelled images for 2 targets: give"):
        tiny(method="mme").fit(source, [target, target], target_labelled=few)
    adapter = tiny(method="mme").fit(source, [target, target], target_labelled=[few, few])
    assert adapter.config.target_labelled == ("in memory", "in memory")


def test_a_label_that_is_no_class_of_the_source_is_refused(tiny, source, target, few):
    with pytest.raises(ValueError, match=r"^target_labelled: labels \['lamp'\] are not among"):
        tiny(method="mme").fit(source, target, target_labelled=(few[0], ["lamp"] * 5))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("norm", ["ucb_norm", "domain_specific_batch_norm"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    method, norm, tiny, source, target, few, weights, tmp_path, monkeypatch
):
    options = {"method": method, "norm": norm, "augment": "digits", "labelled_batch_size": 3}
    fit = {"target_labelled": few, "target_test": target}
    whole = tiny(**options).fit(source, target, **fit)
    with monkeypatch.context() as patch:
        ask_to_stop(patch, 2)
        with pytest.raises(InterruptedTraining):
            tiny(**options).fit(source, target, run=tmp_path, **fit)
    again = {**fit, "run": tmp_path, "resume": True}
    other = tiny(**{**options, "labelled_batch_size": 2})
    with pytest.raises(ValueError, match="began with another labelled_batch_size"):
        other.fit(source, target, **again)
    assert weights(tiny(**options).fit(source, target, **again)) == weights(whole)


@pytest.mark.parametrize("method", METHODS)
def test_the_trained_network_predicts_without_the_method(
    method, tiny, source, target, few, weights, tmp_path
):
    adapter = tiny(method=method).fit(source, target, target_labelled=few, run=tmp_path / "run")
    again = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu")
    assert isinstance(again.network.classifier, CosineClassifier) == (method == "mme")
    assert weights(again) == weights(adapter)
    np.testing.assert_array_equal(again.predict_proba(target[0]), adapter.predict_proba(target[0]))
    adapted = again.adapt(target[0], "shot", steps=2)
    assert adapted.config.classifier_temperature == (0.05 if method == "mme" else None)
    assert adapted.predict_proba(target[0]).shape == (17, 2)


def test_the_classifier_of_mme_can_be_had_without_it(tiny, source, target, few):
    options = {"method": "source_and_target", "classifier_temperature": 0.1}
    network = tiny(**options).fit(source, target, target_labelled=few).network
    assert network.classifier.temperature == 0.1 and network.classifier.bias is None
    deep = tiny(method="mme", classifier=(4,)).fit(source, target, target_labelled=few).network
    assert isinstance(deep.classifier[-1], CosineClassifier)


@pytest.mark.parametrize("method", METHODS)
def test_heads_are_trained_on_features(method, tiny, source, target, few):
    adapter = tiny(method=method, train="head").fit(source, target, target_labelled=few)
    assert adapter.config.bottleneck == (256 if method == "mme" else 0)
    assert np.isfinite(adapter.predict_proba(target[0])).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_probe_of_lengthless_features_fits_them(classes):
    torch.manual_seed(0)
    labels = torch.arange(48) % classes
    pixels = torch.randint(0, 256, (48, 3, 32, 32), dtype=torch.uint8)
    pixels[torch.arange(48), labels] //= 3
    source = LabelledImages(TensorImages(pixels), labels, tuple("abc"[:classes]))
    network = create_network("digits_cnn", None, classes, classifier_temperature=0.05)
    start_from_probe(network, [source], torch.device("cpu"))
    cpu = torch.device("cpu")
    features = compute_features(network, source.images, 0, "none", cpu).values[:, 0].double()
    scaled = (features / features.norm(dim=1, keepdim=True) / 0.05).numpy()
    probe = LogisticRegression(max_iter=1000, fit_intercept=False).fit(scaled, labels.numpy())
    found = network.classifier(features.float()).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, probe.predict_proba(scaled), atol=1e-4)


def test_runs_of_earlier_versions_are_read_without_the_settings(tiny, source, target, tmp_path):
    tiny(method="dann").fit(source, target, run=tmp_path / "run")
    path = tmp_path / "run/config.json"
    content = json.loads(path.read_text())
    for name in ("target_labelled", "labelled_batch_size", "classifier_temperature"):
        del content["training"][name]
    path.write_text(json.dumps(content))
    again = DomainAdapter.from_pretrained(tmp_path / "run", device="cpu")
    assert again.config.target_labelled == () and again.config.classifier_temperature is None
