"""Scores, against scikit-learn's, and the passes that make them."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from dacbn.datasets import labelled, to_float
from dacbn.models import create_network
from dacbn.training import class_accuracies, evaluate, run_network

CPU = torch.device("cpu")


@pytest.fixture
def scored():
    """Logits of five classes, the last but one of which no image has."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 4])[torch.randint(4, (200,), generator=generator)]
    logits = torch.randn(200, 5, generator=generator)
    return logits + 2 * torch.nn.functional.one_hot(labels, 5), labels


@pytest.fixture
def network():
    torch.manual_seed(0)
    return create_network("digits_cnn", "ucb_norm", 3)


@pytest.fixture
def domain():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    return labelled(images, random.integers(0, 3, 9), ("a", "b", "c"))


def test_class_accuracies_are_the_recalls_and_nan_where_no_image_is(scored):
    logits, labels = scored
    ours = class_accuracies(logits, labels)
    theirs = recall_score(labels, logits.argmax(1), labels=[0, 1, 2, 4], average=None)
    assert ours[[0, 1, 2, 4]].tolist() == pytest.approx(theirs)
    assert ours[3].isnan()


def test_scores_are_the_accuracy_and_the_balanced_accuracy(network, domain):
    predicted = run_network(network, domain.images, 1, CPU).logits.argmax(1)
    scores = evaluate(network, domain, 1, CPU)
    assert scores["accuracy"] == pytest.approx(accuracy_score(domain.labels, predicted))
    balanced = balanced_accuracy_score(domain.labels, predicted)
    assert scores["class_accuracy"] == pytest.approx(balanced)


@pytest.mark.parametrize("batch_size", [1, 4, 8, 100])  # 9 images: 8 leaves a batch of one
def test_no_batch_size_changes_an_output_or_their_order(network, domain, batch_size):
    with torch.no_grad():
        images = to_float(domain.images.gather(torch.arange(9)))
        expected = network.eval()(images, torch.ones(9, dtype=torch.int64))
    output = run_network(network, domain.images, 1, CPU, batch_size)
    torch.testing.assert_close(output.logits, expected.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.features, expected.features, rtol=1e-4, atol=1e-5)


def test_the_population_reaches_the_normalisers(domain):
    torch.manual_seed(0)
    network = create_network("digits_cnn", "scb_norm", 3)
    with torch.no_grad():
        for module in network.modules():
            if hasattr(module, "log_std"):
                module.mean[1] += 1
    outputs = [run_network(network, domain.images, cluster, CPU).logits for cluster in (0, 1)]
    assert not torch.allclose(*outputs)
