"""Statistics that are frozen, forgotten and estimated anew."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from dacbn.models import Network, convert_norms
from dacbn.models.digits_cnn import DigitsCNN
from dacbn.norms import (
    UCBNorm,
    frozen_statistics,
    recalibrate,
    reset_statistics,
    set_statistics,
)


def test_recalibration_finds_the_moments_of_the_images():
    layer, images = nn.BatchNorm2d(3), torch.randn(40, 3, 4, 4) * 3 + 2
    recalibrate(layer, images, batch_size=40)
    values = images.double().transpose(0, 1).flatten(1).numpy()
    np.testing.assert_allclose(layer.running_mean, values.mean(1), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, values.var(1, ddof=1), rtol=1e-5)


def test_every_image_counts_the_same_in_unequal_batches():
    layer, images = nn.BatchNorm1d(3), torch.randn(25, 3) + 5
    recalibrate(layer, images, batch_size=10)
    torch.testing.assert_close(layer.running_mean, images.mean(0))
    variances = [part.var(0) * len(part) / 25 for part in images.split(10)]
    torch.testing.assert_close(layer.running_var, sum(variances))


def test_recalibration_forgets_what_was_seen_before():
    layer, images = nn.BatchNorm1d(3), torch.randn(20, 3)
    seasoned = copy.deepcopy(layer)
    seasoned(torch.randn(20, 3) * 50 + 90)
    for one in (layer, seasoned):
        recalibrate(one, images, batch_size=5)
    torch.testing.assert_close(layer.running_mean, seasoned.running_mean)
    torch.testing.assert_close(layer.running_var, seasoned.running_var)


@pytest.mark.parametrize("momentum", [0.3, None])
def test_momentum_mode_and_weights_are_as_before(momentum):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum), nn.Dropout(0.5))
    model.eval()
    model[2].train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    recalibrate(model, torch.randn(8, 3))
    assert model[1].momentum == momentum
    assert [module.training for module in model.modules()] == [False, False, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_dropout_is_off_while_recalibrating():
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(3)).train()
    images = torch.randn(30, 3) + 4
    recalibrate(model, images)
    torch.testing.assert_close(model[1].running_mean, images.mean(0))


def test_an_exception_leaves_momentum_and_mode_as_they_were():
    layer = nn.BatchNorm1d(3).eval()
    with pytest.raises(ValueError):
        recalibrate(layer, torch.randn(4, 3, 2, 2))
    assert layer.momentum == 0.1 and not layer.training


@pytest.mark.parametrize("images", [torch.zeros(0, 3), []])
def test_without_images_it_says_so(images):
    with pytest.raises(ValueError, match="no images"):
        recalibrate(nn.BatchNorm1d(3), images)


def test_a_network_recalibrates_on_the_target_with_its_ids():
    network = Network(DigitsCNN(), 10)
    convert_norms(network.backbone, "batch_norm")
    images = torch.rand(12, 3, 32, 32)
    recalibrate(network, images, cluster_id=1, batch_size=12)
    network.train()
    by_batch = network(images).logits
    network.eval()
    # the running variance is N / (N - 1) times the batch's
    torch.testing.assert_close(network(images).logits, by_batch, rtol=1e-2, atol=1e-2)


def test_components_follow_the_data_they_explain():
    layer = UCBNorm(1, num_clusters=2)
    modes = torch.tensor([-2.0, 2.0]).repeat(500)[:, None]
    layer.running.set_components(torch.tensor([[-2.0], [2.0]]), torch.full((2, 1), 0.09))
    recalibrate(
        layer, (modes + 0.5 + 0.3 * torch.randn(1000, 1))[torch.randperm(1000)], batch_size=250
    )
    means = layer.running.mean.flatten().sort().values
    torch.testing.assert_close(means, torch.tensor([-1.5, 2.5]), atol=0.1, rtol=0)


def test_frozen_statistics_use_the_batch_and_keep_the_gradient():
    layer, x = nn.BatchNorm1d(3), torch.randn(8, 3, requires_grad=True)
    before = layer.running_mean
    with frozen_statistics(layer):
        frozen = layer(x)
    open_ = layer(x)
    (frozen.pow(3).sum() + open_.pow(3).sum()).backward()  # after the buffers moved on
    assert torch.equal(frozen, open_) and x.grad.isfinite().all()
    assert layer.running_mean is before and int(layer.num_batches_tracked) == 1


def test_a_mixture_first_met_in_a_frozen_forward_still_starts_on_the_next():
    layer, x = UCBNorm(2), torch.randn(50, 2) + 30
    with frozen_statistics(layer):
        layer(x)
    assert int(layer.running.num_batches_tracked) == 0
    twin = UCBNorm(2)
    assert torch.equal(layer(x), twin(x))
    assert torch.equal(layer.running.mean, twin.running.mean)


def test_statistics_thaw_after_an_error():
    layer = nn.BatchNorm1d(3)
    kept = layer.running_mean
    with pytest.raises(ValueError), frozen_statistics(layer):
        layer(torch.randn(1, 3))
    assert layer.running_mean is kept


def test_reset_reaches_every_normaliser_of_a_network_and_nothing_else():
    network = Network(DigitsCNN(), 10)
    fresh = {name: value.clone() for name, value in network.named_buffers()}
    weights = {name: value.clone() for name, value in network.named_parameters()}
    network.train()(torch.rand(4, 3, 32, 32))
    assert not all(torch.equal(value, fresh[name]) for name, value in network.named_buffers())
    reset_statistics(network)
    assert all(torch.equal(value, fresh[name]) for name, value in network.named_buffers())
    assert all(torch.equal(value, weights[name]) for name, value in network.named_parameters())


@pytest.mark.parametrize("norm", ["batch_norm", "ucb_norm", "batch_instance_norm", "mode_norm"])
@pytest.mark.parametrize("way", ["recalibrate", "slow"])
def test_layers_that_average_all_batches_are_recalibrated_and_slowed_as_others(norm, way):
    torch.manual_seed(0)
    images = [torch.randn(count, 3, 6, 6) + 2 for count in (16, 4)]
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    convert_norms(plain, norm)
    plain.train()(images[0])
    averaging = copy.deepcopy(plain)
    for layer in averaging.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    for _ in range(3):
        averaging(images[0])
    plain.load_state_dict(averaging.state_dict())
    for model in (plain, averaging):
        if way == "recalibrate":
            recalibrate(model, images)
        else:
            set_statistics(model, "slow")
            model(images[1] + 5)
    for name, expected in plain.state_dict().items():
        torch.testing.assert_close(averaging.state_dict()[name], expected, msg=name)
    set_statistics(averaging, "follow")
    hooked = [m for m in averaging.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [layer.pace for layer in hooked]
    averaging(images[0])
    assert [layer.pace for layer in hooked] != before  # all batches weigh the same again
