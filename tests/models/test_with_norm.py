"""A copy of a trained network whose BatchNorms are replaced by a norm for test time."""

import copy

import pytest
import torch
from torch import nn

from dacbn.models import Network, create_network, with_norm
from dacbn.norms import BatchNorm, FollowsStream, RobustBatchNorm, following

IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def trained(norm=None, **options):
    torch.manual_seed(0)
    network = create_network("digits_cnn", norm, 10, bottleneck=8, **options)
    for _ in range(3):
        network(torch.rand(16, 3, 32, 32), torch.arange(16) % 2)
    return network.eval()


def followers(network):
    return [layer for layer in network.modules() if isinstance(layer, FollowsStream)]


@pytest.mark.parametrize("norm", [None, "batch_norm", "prediction_time_batch_norm"])
def test_every_batch_norm_is_replaced_in_a_copy(norm):
    network = trained(norm)
    before = copy.deepcopy(network.state_dict())
    network.train()
    copied = with_norm(network, "robust_batch_norm(rate=0.5)")
    assert [layer.rate for layer in followers(copied)] == [0.5] * 3
    assert not any(layer.training for layer in copied.modules())
    with following(copied):
        copied(IMAGES)
    assert network.training and not followers(network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_it_starts_with_the_function_of_the_network():
    network = trained()
    copied = with_norm(network, "robust_batch_norm")
    torch.testing.assert_close(copied(IMAGES).logits, network(IMAGES).logits)


@pytest.mark.parametrize("domain", [0, 1])
def test_the_statistics_and_map_of_one_domain_are_taken(domain):
    network = trained("domain_specific_batch_norm")
    for layer in network.modules():
        if type(layer).__name__ == "DomainSpecificBatchNorm":
            nn.init.uniform_(layer.weight), nn.init.uniform_(layer.bias)
    copied = with_norm(network, RobustBatchNorm, cluster_id=domain)
    wanted = network(IMAGES, torch.full((8,), domain)).logits
    torch.testing.assert_close(copied(IMAGES).logits, wanted)


def test_sites_select_by_name():
    network = trained()
    assert len(followers(with_norm(network, RobustBatchNorm, "first"))) == 1
    assert len(followers(with_norm(network, RobustBatchNorm, "backbone.*"))) == 2
    with pytest.raises(ValueError, match="no normaliser is named like 'stem'"):
        with_norm(network, RobustBatchNorm, "stem")


@pytest.mark.parametrize("norm", ["batch_norm", "prediction_time_batch_norm", "ucb_norm"])
def test_norms_that_start_from_statistics_are_taken(norm):
    assert with_norm(trained(), norm)(IMAGES).logits.isfinite().all()


@pytest.mark.parametrize("norm", ["group_norm", "dynamic_tanh", "self_normalizing", "layer_norm"])
def test_a_norm_that_needs_training_raises(norm):
    with pytest.raises(ValueError, match=r"cannot start from trained .* such as .*robust_batch"):
        with_norm(trained(), norm)


def test_a_norm_that_needs_domains_raises():
    with pytest.raises(ValueError, match=r"needs the domain of each image, .* choose"):
        with_norm(trained(), "domain_specific_batch_norm")


def test_layers_with_statistics_per_domain_need_to_know_which():
    with pytest.raises(ValueError, match="give cluster_id, from 0"):
        with_norm(trained("domain_specific_batch_norm"), "robust_batch_norm")


def test_a_network_without_batch_norms_raises():
    network = create_network("digits_cnn", "group_norm", 10)
    with pytest.raises(ValueError, match=r"it normalises with 2 GroupNorm: train one with norm="):
        with_norm(network, "robust_batch_norm")


def test_a_batch_norm_without_statistics_raises():
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.AdaptiveAvgPool2d(1)
    )
    network = Network(nn.Sequential(backbone, nn.Flatten()), 10, num_features=4)
    with pytest.raises(ValueError, match=r"backbone.0.1 keeps no running statistics .* train"):
        with_norm(network, "robust_batch_norm")


def test_weight_parametrizations_are_refused():
    with pytest.raises(ValueError, match="leave out the parametrizations"):
        with_norm(trained(), "robust_batch_norm + weight_standardization")


def test_a_replaced_network_can_be_replaced_again():
    again = with_norm(with_norm(trained(), "robust_batch_norm"), "batch_norm")
    assert not followers(again)
    assert sum(type(layer) is BatchNorm for layer in again.modules()) == 3
