"""The classifier starts at the class centres of both domains."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import entr, softmax
from torch import nn

from dacbn.adapter import DomainAdapter
from dacbn.models import create_network
from dacbn.training.class_centres import ROUNDS, move_to_centres


def clouds(count=40, shift=0.0, seed=0):
    """Return features of three classes around directions of their own, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    features = 4 * np.eye(3, 8)[labels] + rng.normal(0, 0.6, (count, 8)) + shift * np.eye(8)[5]
    return torch.tensor(features), torch.tensor(labels)


def probe(classes=3, bias=True):
    torch.manual_seed(0)
    layer = nn.Linear(8, classes, bias=bias)
    with torch.no_grad():
        layer.weight[:3, :3] += torch.eye(3)
    return layer


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def unsure(logits):
    return entr(softmax(logits, axis=1)).sum(1).mean()


@pytest.mark.parametrize("images", [slice(None), slice(None, None, 3)])  # of all classes, of one
def test_the_weights_are_those_of_the_equations(images):
    source, labels = clouds()
    target = clouds(30, shift=3.0, seed=1)[0][images]
    classifier = probe()
    weight, bias = (each.detach().double().numpy() for each in classifier.parameters())
    logits = target.numpy() @ weight.T + bias
    wanted = unsure(logits)
    s = unit(np.stack([unit(source.numpy())[labels == c].mean(0) for c in range(3)]))
    d = unit(target.numpy())
    for _ in range(ROUNDS):
        m = unit(s + unit(softmax(logits, axis=1).T @ d))
        k = np.exp(brentq(lambda x, m=m: unsure(np.exp(x) * d @ m.T) - wanted, -20, 20))
        logits = k * d @ m.T
    k = np.exp(brentq(lambda x: unsure(np.exp(x) * target.numpy() @ m.T) - wanted, -20, 20))
    move_to_centres(classifier, source, labels, target)
    np.testing.assert_allclose(classifier.weight.detach().numpy(), k * m, rtol=1e-4, atol=1e-5)
    assert not classifier.bias.any()


def test_a_target_that_moved_is_answered_better_than_by_the_probe():
    from sklearn.linear_model import LogisticRegression

    source, labels = clouds(300)
    target, truth = clouds(300, seed=1)
    target = target.roll(1, dims=1) + 0.8 * target  # each class leans to the next one's direction
    fitted = LogisticRegression(max_iter=1000).fit(source.numpy(), labels.numpy())
    classifier = probe()
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor(fitted.coef_))
        classifier.bias.copy_(torch.tensor(fitted.intercept_))
    before = (classifier(target.float()).argmax(1) == truth).float().mean()
    move_to_centres(classifier, source, labels, target)
    assert (classifier(target.float()).argmax(1) == truth).float().mean() > before + 0.1


@pytest.mark.parametrize("bias", [True, False])
def test_a_class_without_images_keeps_its_weights(bias):
    classifier = probe(classes=4, bias=bias)
    before = classifier.weight[3].clone()
    source, labels = clouds()
    move_to_centres(classifier, source, labels, clouds(seed=1)[0])
    assert torch.equal(classifier.weight[3], before)
    assert (classifier(source.float()).argmax(1) == labels).all()


@pytest.mark.parametrize("features", [torch.zeros(4, 8), torch.full((4, 8), float("nan"))])
def test_features_that_say_nothing_leave_the_probe(features):
    classifier, (source, labels) = probe(), clouds()
    before = classifier.weight.clone()
    assert not move_to_centres(classifier, source, labels, features.double())
    assert torch.equal(classifier.weight, before)
    target = clouds(seed=1)[0]
    assert move_to_centres(classifier, source, labels, torch.cat([features.double(), target]))
    other = probe()
    move_to_centres(other, source, labels, target)
    assert torch.equal(classifier.weight, other.weight)


def test_a_source_of_one_class_leaves_the_classifier():
    classifier = probe()
    before = classifier.weight.clone()
    source, labels = clouds()
    move_to_centres(classifier, source, torch.zeros_like(labels), source)
    assert torch.equal(classifier.weight, before)


OPTIONS = {"norm": None, "method": "source_only", "steps": 1, "lr": 1e-9, "device": "cpu"}


@pytest.mark.parametrize("temperature", [None, 0.05])
def test_a_training_starts_there_and_says_so(caplog, source, target, temperature):
    caplog.set_level("INFO", "dacbn")
    adapter = DomainAdapter(
        classifier_start="centres", classifier_temperature=temperature, **OPTIONS
    )
    adapter.fit(source, target[0] if isinstance(target, tuple) else target, source_test=source)
    assert adapter.score(source, cluster_id=0) > 0.8
    assert "starts as a linear probe of the features, source test accuracy" in caplog.text
    assert "moves on to the class centres of source and target" in caplog.text


def test_without_a_target_it_stays_a_probe(caplog, source):
    caplog.set_level("INFO", "dacbn")
    network = DomainAdapter(classifier_start="centres", **OPTIONS).fit(source, None).network
    probe = DomainAdapter(classifier_start="probe", **OPTIONS).fit(source, None).network
    assert torch.equal(network.classifier.weight, probe.classifier.weight)
    assert "centres" not in caplog.text


def test_a_network_of_several_layers_is_refused():
    assert isinstance(create_network("digits_cnn", None, 3).classifier, nn.Linear)
    with pytest.raises(ValueError, match="a probe is one linear layer"):
        DomainAdapter(classifier_start="centres", bottleneck=8)
