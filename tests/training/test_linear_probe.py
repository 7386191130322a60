"""The classifier starts as the logistic regression of the features."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from dacbn.adapter import DomainAdapter
from dacbn.datasets import LabelledImages, TensorImages
from dacbn.models import create_network
from dacbn.training import start_from_probe
from dacbn.training.features import compute_features
from dacbn.training.linear_probe import MAX_IMAGES

CPU = torch.device("cpu")


def domain(classes, count=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % classes
    pixels[torch.arange(count), labels % 3] //= 3
    return LabelledImages(TensorImages(pixels), labels, tuple(map(str, range(classes))))


def penalised(features, labels, classes):
    """Return the loss of a logistic regression with C = 1, as a function of its flat weights."""

    def loss(flat):
        weight, bias = np.split(flat, [classes * features.shape[1]])
        logits = features @ weight.reshape(classes, -1).T + bias
        log_sum = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        fit = (log_sum - logits[np.arange(len(labels)), labels]).sum()
        return fit + 0.5 * (weight**2).sum()

    return loss


def test_the_classifier_is_the_minimum_of_the_penalised_cross_entropy():
    torch.manual_seed(0)
    network, source = create_network("digits_cnn", None, 3), domain(3)
    start_from_probe(network, [source], CPU)
    views = compute_features(network, source.images, 0, "none", CPU).values[:, 0]
    loss = penalised(views.double().numpy(), source.labels.numpy(), 3)
    classifier = network.classifier
    found = torch.cat([classifier.weight.flatten(), classifier.bias]).detach().double().numpy()
    best = minimize(loss, found, method="L-BFGS-B", options={"maxiter": 300})
    assert loss(found) == pytest.approx(best.fun, rel=1e-3)
    assert loss(found) < 0.9 * loss(np.zeros_like(found))


def test_two_classes_have_the_probabilities_of_the_regression():
    torch.manual_seed(0)
    network, source = create_network("digits_cnn", None, 2), domain(2)
    start_from_probe(network, [source], CPU)
    weight = network.classifier.weight
    torch.testing.assert_close(weight[0], -weight[1])
    logits = network.eval()(source.images.pixels.float() / 255).logits
    assert (logits.argmax(1) == source.labels).float().mean() > 0.9


def test_a_class_without_images_keeps_its_weights():
    torch.manual_seed(0)
    network, source = create_network("digits_cnn", None, 4), domain(3)
    before = network.classifier.weight[3].clone()
    start_from_probe(network, [source], CPU)
    assert torch.equal(network.classifier.weight[3], before)


def test_a_source_of_one_class_leaves_the_classifier():
    network, source = create_network("digits_cnn", None, 3), domain(1)
    before = network.classifier.weight.clone()
    start_from_probe(network, [source], CPU)
    assert torch.equal(network.classifier.weight, before)


def test_modes_and_statistics_stay():
    network = create_network("digits_cnn", "batch_norm", 3).train()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    start_from_probe(network, [domain(3)], CPU)
    assert network.training and network.backbone.training
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())


def test_of_many_images_some_are_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr("dacbn.training.linear_probe.MAX_IMAGES", 12)
    network = create_network("digits_cnn", None, 3)
    monkeypatch.setattr(
        "dacbn.training.linear_probe.compute_features",
        lambda network, images, *rest: (
            drawn.append(len(images)) or compute_features(network, images, *rest)
        ),
    )
    start_from_probe(network, [domain(3)], CPU)
    assert drawn == [12] and MAX_IMAGES >= 10_000


@pytest.mark.parametrize("options", [{"classifier": (8,)}, {"bottleneck": 8}])
def test_a_probe_of_several_layers_is_refused(options):
    network = create_network("digits_cnn", None, 3, **options)
    with pytest.raises(ValueError, match=r"a probe is one linear layer.*: start from random"):
        start_from_probe(network, [domain(3)], CPU)


def test_a_probe_of_several_layers_is_refused_before_images_are_read():
    message = r"leave out classifier and set bottleneck=0, or set classifier_start='random'"
    for options in ({"classifier": (8,)}, {"bottleneck": 8}, {"train": "head", "method": "dann"}):
        with pytest.raises(ValueError, match=message):
            DomainAdapter(classifier_start="probe", **options)


def test_a_training_starts_there_and_says_so(caplog, source, target):
    caplog.set_level("INFO", "dacbn")
    options = {"norm": None, "method": "source_only", "steps": 1, "lr": 1e-9, "device": "cpu"}
    adapter = DomainAdapter(classifier_start="probe", **options)
    adapter.fit(source, target, source_test=source)
    images, labels = source
    assert adapter.score((images, labels), cluster_id=0) > 0.9
    assert "starts as a linear probe of the features, source test accuracy" in caplog.text
