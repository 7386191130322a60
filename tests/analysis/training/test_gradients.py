"""Gradients of a network whose derivatives are known, which is left as it was."""

import numpy as np
import pytest
import torch
from flat_network import flat_network
from torch import nn

from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.analysis.training.gradients import (
    classification_loss,
    compute_gradients,
    draw_gradients,
    entropy_loss,
)
from dacbn.batch import Output
from dacbn.datasets import unlabelled


class Linear(nn.Module):
    """A linear classifier of pixels, called as a network."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)
        self.norm = nn.BatchNorm1d(12)

    def forward(self, images, cluster_ids=None):
        """Classify images (B, 3, 2, 2)."""
        pixels = images.flatten(1)
        return Output(pixels, self.layer(self.norm(pixels)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Linear()


def sample(count, labelled=True, seed=0):
    random = np.random.default_rng(seed)
    images = unlabelled(random.integers(0, 256, (count, 2, 2, 3)).astype(np.uint8)).images
    labels = torch.from_numpy(random.integers(0, 3, count)) if labelled else None
    return Sample(images, 0, labels)


def by_hand(network, each, kind, rows):
    """Differentiate the linear classifier's loss of some images: (3, 12), in float64."""
    pixels = each.images.pixels[rows].flatten(1).double().numpy() / 255
    scale = 1 / np.sqrt(1 + network.norm.eps)  # of fresh running statistics
    weight, bias = network.layer.weight.double(), network.layer.bias.double()
    logits = pixels * scale @ weight.detach().numpy().T + bias.detach().numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if kind == "classification":
        slope = p - np.eye(3)[each.labels[rows].numpy()]
    else:  # d/dz of -sum p log p
        entropy = -(p * np.log(p)).sum(1, keepdims=True)
        slope = -p * (np.log(p) + entropy)
    return slope.T @ pixels * scale / len(rows)


@pytest.mark.parametrize("kind", ["classification", "entropy"])
def test_norms_and_variances_are_those_computed_by_hand(network, kind):
    each = sample(23)
    loss = classification_loss if kind == "classification" else entropy_loss
    found = compute_gradients(network, each, loss, batches=5, batch_size=5, seed=3)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(3))
    slopes = [by_hand(network, each, kind, order[5 * i : 5 * i + 5]) for i in range(4)]
    assert found.layers == ("layer.weight",)
    assert found.norm == pytest.approx([np.linalg.norm(np.mean(slopes, 0))], rel=1e-4)
    assert found.variance == pytest.approx([np.var(slopes, axis=0, ddof=1).mean()], rel=1e-4)


def test_a_single_batch_has_no_variance(network):
    found = compute_gradients(network, sample(5), entropy_loss, batch_size=5)
    assert np.isnan(found.variance).all() and (found.norm > 0).all()


def test_the_network_is_left_as_it_was(network):
    network.train()
    network.norm.eval()
    network.layer.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    compute_gradients(network, sample(10), entropy_loss, batch_size=5)
    assert network.training and network.layer.training and not network.norm.training
    assert not network.layer.weight.requires_grad
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())


def test_it_is_left_so_after_a_mistake_too(network):
    def fail(logits, labels):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        compute_gradients(network.train(), sample(10), fail, batch_size=5)
    assert network.training and network.norm.training


def test_fewer_images_than_a_batch_are_refused(network):
    with pytest.raises(ValueError, match=r"at least 32 images, got 1 weights and 31 images"):
        compute_gradients(network, sample(31), entropy_loss)


def test_both_domains_are_drawn_by_layer(tmp_path):
    samples = {"source": sample(40), "target": sample(20, labelled=False, seed=1)}
    subject = Subject("trained", flat_network(), samples, ("a", "b", "c"))
    section = draw_gradients(subject, tmp_path)
    with np.load(section.figures[0].with_suffix(".npz")) as arrays:
        layers = arrays["target, entropy/layers"].tolist()
        assert layers == ["backbone.layer.weight", "classifier.weight"]
        ratio = arrays["target, entropy/variance"].sum() / arrays["source, entropy/variance"].sum()
    assert f"is {ratio:.1f} times as large" in section.findings[-1]


def test_one_image_is_refused(tmp_path):
    samples = {"source": sample(40), "target": sample(1)}
    with pytest.raises(ValueError, match="need at least 2 images of each domain, got 1"):
        draw_gradients(Subject("trained", flat_network(), samples, ("a", "b", "c")), tmp_path)
