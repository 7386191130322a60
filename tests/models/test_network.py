"""A network: one door for images and cluster ids."""

import copy

import pytest
import torch
from torch import nn

from dacbn.models import Network, create_network
from dacbn.models.backbones import pixel_statistics
from dacbn.norms import SCBNorm, UCBNorm

IDS = torch.tensor([0, 1, 1, 0])


def images(count=4, size=32):
    return torch.rand(count, 3, size, size)


@pytest.mark.parametrize(
    "backbone",
    ["digits_cnn", "resnet10t", "mobilenetv3_small_050", "ghostnet_050", "repvgg_a0", "lcnet_050"],
)
@pytest.mark.parametrize("norm", [None, "scb_norm"])
def test_features_and_logits_have_the_width_that_the_network_says(backbone, norm):
    network = create_network(backbone, norm, 7)
    features, logits = network(images(), IDS)
    assert features.shape == (4, network.num_features) and logits.shape == (4, 7)
    torch.testing.assert_close(logits, network.classifier(features))


def test_the_backbone_sees_standardised_pixels():
    network, seen = create_network("resnet10t", None, 3), []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = images()
    network(x)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        torch.testing.assert_close(seen[0][:, channel], (x[:, channel] - mean) / std)


def test_ids_choose_the_statistics_of_every_cluster_aware_layer():
    network = create_network("digits_cnn", "scb_norm", 3)
    network(images(), IDS)
    network.eval()
    x = images()
    with torch.no_grad():
        before = network(x, IDS).features
        for layer in network.modules():
            if isinstance(layer, SCBNorm):
                layer.mean[1] += 1
        after = network(x, IDS).features
    assert torch.equal(before[IDS == 0], after[IDS == 0])
    assert (before[IDS == 1] - after[IDS == 1]).abs().amax(1).min() > 0


def test_missing_ids_raise_with_the_cure_even_after_a_pass_with_ids():
    network = create_network("digits_cnn", "scb_norm", 3)
    network(images(), IDS)
    with pytest.raises(RuntimeError, match="cluster_ids=ids"):
        network(images())


def test_ids_are_gone_after_a_pass_that_failed():
    network = create_network("digits_cnn", "scb_norm", 3)
    with pytest.raises(RuntimeError):
        network(torch.rand(4, 5, 32, 32), IDS)  # five colours
    with pytest.raises(RuntimeError, match="needs cluster ids"):
        _ = network.context.ids


@pytest.mark.parametrize("norm", [None, "batch_norm", "ucb_norm"])
def test_networks_that_need_no_ids_ignore_them(norm):
    network = create_network("digits_cnn", norm, 3).eval()
    x = images()
    assert torch.equal(network(x).logits, network(x, IDS).logits)


def test_a_copy_of_a_network_has_a_context_of_its_own():
    network = create_network("digits_cnn", "scb_norm", 3)
    twin = copy.deepcopy(network)
    contexts = {layer.context for layer in twin.modules() if isinstance(layer, SCBNorm)}
    assert contexts == {twin.context} and twin.context is not network.context
    assert twin(images(), IDS).logits.isfinite().all()


def test_sites_reach_the_conversion():
    network = create_network("digits_cnn", "ucb_norm", 3, sites="last")
    assert sum(isinstance(layer, UCBNorm) for layer in network.modules()) == 1


def test_a_network_keeps_its_promises_through_its_state_dict():
    network, other = (create_network("digits_cnn", "ucb_norm", 3) for _ in range(2))
    network(images())
    other.load_state_dict(network.state_dict())
    x = images()
    assert torch.equal(network(x).logits, other(x).logits)
    assert torch.equal(network.eval()(x).logits, other.eval()(x).logits)


@pytest.mark.parametrize("backbone", ["digits_cnn", "resnet18"])
@pytest.mark.parametrize("norm", ["ucb_norm", "scb_norm"])
def test_a_network_compiles_to_one_graph_for_all_ids(backbone, norm):
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    network = create_network(backbone, norm, 5)
    network(images(), IDS)  # places the components, which happens once
    network.eval()
    torch._dynamo.reset()
    try:
        compiled = torch.compile(network, fullgraph=True, backend=count)
        with torch.no_grad():
            for ids in (IDS, 1 - IDS, torch.zeros_like(IDS)):
                x = images()
                found, wanted = compiled(x, ids), network(x, ids)
                torch.testing.assert_close(found.features, wanted.features)
                torch.testing.assert_close(found.logits, wanted.logits)
        assert len(graphs) == 1
        with pytest.raises(RuntimeError, match="needs cluster ids"):
            _ = network.context.ids
    finally:
        torch._dynamo.reset()


@pytest.mark.parametrize("norm", ["ucb_norm", "scb_norm"])
def test_training_compiles_to_one_graph_and_moves_the_same_state(norm):
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    network = create_network("digits_cnn", norm, 5)
    network(images(), IDS)
    twin = copy.deepcopy(network)
    torch._dynamo.reset()
    try:
        compiled = torch.compile(network, fullgraph=True, backend=count)
        for ids in (IDS, 1 - IDS):
            x = images()
            found, wanted = compiled(x, ids).logits, twin(x, ids).logits
            torch.testing.assert_close(found, wanted)
            found.square().sum().backward()
            wanted.square().sum().backward()
        assert len(graphs) == 1
    finally:
        torch._dynamo.reset()
    for (name, value), other in zip(
        network.state_dict().items(), twin.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(value, other, msg=lambda text, name=name: f"{name}: {text}")
    for one, two in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-4)


def test_any_module_with_a_width_is_a_backbone():
    backbone = nn.Flatten()
    backbone.head_hidden_size = 3 * 4 * 4
    network, x = Network(backbone, 5), images(size=4)
    mean, std = (torch.tensor(each)[:, None, None] for each in pixel_statistics(backbone))
    assert torch.equal(network(x).features, ((x - mean) / std).flatten(1))


def test_the_classifier_has_the_hidden_layers_asked_for():
    network = create_network("digits_cnn", None, 10, classifier=(100, 50))
    linear = [layer for layer in network.classifier.modules() if isinstance(layer, nn.Linear)]
    sizes = [(layer.in_features, layer.out_features) for layer in linear]
    assert sizes == [(1200, 100), (100, 50), (50, 10)]
    assert network(torch.rand(2, 3, 32, 32)).logits.shape == (2, 10)


def test_the_features_are_those_of_the_bottleneck():
    network = create_network("digits_cnn", None, 10, bottleneck=7).eval()
    images = torch.rand(4, 3, 32, 32)
    linear, norm, _ = network.bottleneck
    with torch.no_grad():
        norm.running_mean.uniform_(-1, 1), norm.running_var.uniform_(1, 2)
        features, logits = network(images, torch.zeros(4, dtype=torch.int64))
        flat = linear(network.backbone((images - 0.5) / 0.5))
        scaled = (flat - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        torch.testing.assert_close(features, scaled.clamp_min(0))
        torch.testing.assert_close(logits, network.classifier(features))
    assert network.num_features == 7 == network.classifier.in_features
    assert not any(
        "bottleneck" in name for name in create_network("digits_cnn", None, 2).state_dict()
    )
