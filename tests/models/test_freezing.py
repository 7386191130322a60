"""What of a backbone is trained: everything, its normalisers, or nothing."""

import pytest
import torch

from dacbn.models import create_network, freeze_backbone

IMAGES, IDS = torch.rand(6, 3, 32, 32), torch.tensor([0, 0, 0, 1, 1, 1])


def moved(network, train):
    """Return the names of the parameters that a step changes."""
    freeze_backbone(network.backbone, train)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    parameters = [value for value in network.parameters() if value.requires_grad]
    network(IMAGES, IDS).logits.square().sum().backward()
    torch.optim.SGD(parameters, lr=0.1).step()
    return {name for name, value in network.named_parameters() if not value.equal(before[name])}


@pytest.mark.parametrize("norm", ["batch_norm", "ucb_norm", "domain_specific_batch_norm"])
def test_norms_alone_are_trained_and_the_classifier(norm):
    network = create_network("resnet10t", norm, 3, bottleneck=5)
    changed = moved(network, "norms")
    assert {"classifier.weight", "classifier.bias", "bottleneck.0.weight"} <= changed
    in_backbone = {name for name in changed if name.startswith("backbone.")}
    kernels = {name for name, value in network.backbone.named_parameters() if value.ndim == 4}
    assert {"backbone.bn1.weight", "backbone.layer1.0.bn2.weight"} <= in_backbone
    assert not any(name.removeprefix("backbone.") in kernels for name in in_backbone)


def test_a_head_leaves_the_whole_backbone_alone():
    changed = moved(create_network("resnet10t", "batch_norm", 3), "head")
    assert changed == {"classifier.weight", "classifier.bias"}


def test_all_is_all():
    network = create_network("digits_cnn", "batch_norm", 3)
    freeze_backbone(network.backbone, "auto")
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_backbone_without_normalisers_has_none_to_train():
    network = create_network("digits_cnn", "no_norm(affine=False)", 3)
    with pytest.raises(ValueError, match="needs normalisers with parameters"):
        freeze_backbone(network.backbone, "norms")
