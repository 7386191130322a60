"""Batch-channel normalisation, by batches and by estimates."""

import batch_channel_norm_reference as reference
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dacbn.norms import BatchChannelNorm, BatchNorm, Norm, recalibrate


def with_inner_map(*arguments, **options):
    """Return a layer in float64 whose gain and shift are not as at the start."""
    layer = BatchChannelNorm(*arguments, **options).double()
    nn.init.normal_(layer.gain, 1, 0.5), nn.init.normal_(layer.shift)
    return layer


@pytest.mark.parametrize("estimate", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5)])
def test_outputs_and_statistics_follow_the_equations(estimate, shape):
    layer = with_inner_map(4, num_groups=2, estimate=estimate, eps=0.1, momentum=0.3)
    gain, shift = layer.gain.detach().numpy(), layer.shift.detach().numpy()
    mean, var = np.zeros(4), np.ones(4)
    for _ in range(3):
        x = 2 * torch.randn(shape, dtype=torch.float64) + 3
        found, values = layer(x), x.reshape(len(x), 4, -1).numpy()
        if estimate:
            mean, var = used = reference.moved_estimates(values, mean, var, 0.3)
        else:
            used, count = reference.batch_moments(values), values.size / 4
            mean = 0.7 * mean + 0.3 * used[0]
            var = 0.7 * var + 0.3 * used[1] * count / (count - 1)
        wanted = reference.normalised(values, *used, gain, shift, 2, 0.1)
        np.testing.assert_allclose(found.detach(), wanted.reshape(shape), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-9)
    np.testing.assert_allclose(layer.running_variance, var, rtol=1e-9)
    wanted = reference.normalised(values, mean, var, gain, shift, 2, 0.1)
    np.testing.assert_allclose(
        layer.eval()(x).detach(), wanted.reshape(shape), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("num_groups", [1, 2, 8])
def test_it_is_batch_norm_and_then_group_norm(num_groups):
    layer = with_inner_map(8, num_groups=num_groups)
    nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
    first, second = nn.BatchNorm2d(8).double(), nn.GroupNorm(num_groups, 8).double()
    first.load_state_dict({"weight": layer.gain, "bias": layer.shift}, strict=False)
    second.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    for _ in range(3):
        x = torch.randn(4, 8, 3, 2).double() * 3 + 1
        torch.testing.assert_close(layer(x), second(first(x)))
    torch.testing.assert_close(layer.running_variance, first.running_var)
    torch.testing.assert_close(layer.eval()(x), second(first.eval()(x)))


def test_estimates_that_stand_still_are_batch_norm_in_evaluation():
    layer = BatchChannelNorm(8, num_groups=2, estimate=True, momentum=0)
    nn.init.normal_(layer.running_mean), nn.init.uniform_(layer.running_variance, 0.5, 2)
    x = torch.randn(2, 8, 3)
    standard = F.batch_norm(x, layer.running_mean.clone(), layer.running_variance.clone())
    in_training = layer(x)
    torch.testing.assert_close(in_training, F.group_norm(standard, 2))
    assert torch.equal(layer.eval()(x), in_training)


@pytest.mark.parametrize(("estimate", "hears"), [(True, False), (False, True)])
def test_with_estimates_no_gradient_goes_from_one_sample_to_another(estimate, hears):
    layer = BatchChannelNorm(4, num_groups=1, estimate=estimate, momentum=1)
    x = torch.randn(6, 4, 5, requires_grad=True)
    (layer(x)[0] ** 3).sum().backward()
    assert x.grad[0].abs().min() > 0
    assert bool((x.grad[1:] != 0).any()) == hears


@pytest.mark.parametrize("options", [{}, {"estimate": True, "momentum": 0}])
def test_gradients_are_those_of_the_output(options):
    layer = with_inner_map(4, num_groups=2, **options)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x, fast_mode=True)


def test_two_batches_can_wait_for_one_backward_pass():
    layer = BatchChannelNorm(4, estimate=True)
    x = torch.randn(2, 4, 3, requires_grad=True)
    (layer(x).pow(3).sum() + layer(x + 5).pow(3).sum()).backward()
    assert x.grad.isfinite().all()


def test_estimates_learn_from_single_images():
    layer = BatchChannelNorm(4, estimate=True, momentum=0.02)
    for _ in range(500):
        layer(torch.randn(1, 4) * 3 + 5)
    torch.testing.assert_close(layer.running_mean, torch.full((4,), 5.0), atol=1.2, rtol=0)
    torch.testing.assert_close(layer.running_variance, torch.full((4,), 9.0), atol=5, rtol=0)


@pytest.mark.parametrize("estimate", [True, False])
def test_recalibration_forgets_what_was_seen_before(estimate):
    layer, images = BatchChannelNorm(4, estimate=estimate), torch.randn(80, 4) * 2 + 7
    layer(images * 50)
    recalibrate(layer, images, batch_size=80)
    torch.testing.assert_close(layer.running_mean, images.mean(0))
    torch.testing.assert_close(layer.running_variance, images.var(0), rtol=0.02, atol=0)


def trained_batch_norm():
    """Return a BatchNorm whose channels differ in all they have learned, and its kind of input."""
    theirs = nn.BatchNorm2d(32).eval()
    nn.init.normal_(theirs.running_mean, 0, 3), nn.init.uniform_(theirs.running_var, 0.1, 4)
    nn.init.uniform_(theirs.weight, -0.2, 0.3), nn.init.normal_(theirs.bias, 1)
    noise = torch.randn(8, 32, 12, 12)
    std, mean = (v[:, None, None] for v in (theirs.running_var.sqrt(), theirs.running_mean))
    return theirs, noise * std + mean


def test_a_trained_batch_norm_keeps_its_function_as_far_as_samples_are_alike():
    theirs, x = trained_batch_norm()
    ours = BatchChannelNorm.from_batch_norm(theirs, num_groups=4)
    wanted = theirs(x)
    assert (ours(x) - wanted).norm() < 0.05 * wanted.norm()
    with torch.no_grad():  # it is the outer map that gives a group's mean and scale back
        ours.weight.fill_(1), ours.bias.zero_()
    assert (ours(x) - wanted).norm() > 0.4 * wanted.norm()


def test_a_residual_branch_that_starts_at_zero_stays_there_and_hears_its_gradient():
    theirs = nn.BatchNorm2d(8)
    nn.init.zeros_(theirs.weight)
    layer = BatchChannelNorm.from_batch_norm(theirs, num_groups=2)
    assert not layer.weight.any() and not layer.bias.any()
    assert layer.gain.eq(1).all() and not layer.shift.any()
    y = layer(torch.randn(4, 8, 3, 3))
    assert not y.any()
    (y * torch.randn_like(y)).sum().backward()
    assert layer.weight.grad.abs().min() > 0 and layer.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("width", "groups"), [(64, 32), (2048, 32), (16, 8), (24, 12), (120, 30), (7, 1), (1, 1)]
)
def test_groups_divide_the_width(width, groups):
    layer = BatchChannelNorm(width)
    assert layer.num_groups == groups
    assert layer(torch.randn(4, width, 2, 2)).isfinite().all()


def test_a_single_value_is_not_made_zero():
    layer, x = BatchChannelNorm(1), torch.randn(8, 1)
    torch.testing.assert_close(layer(x), BatchNorm(1)(x))


@pytest.mark.parametrize("num_groups", [0, -2, 2.0])
def test_what_is_no_number_of_groups_raises(num_groups):
    with pytest.raises(
        ValueError, match=r"num_groups of batch_channel_norm must be (at least 1|a whole)"
    ):
        BatchChannelNorm(8, num_groups)


def accuracy_after_micro_batches(build, seed):
    """Train an MLP on digits, two images at a time, for one epoch; return its test accuracy."""
    torch.manual_seed(seed)
    data = load_digits()
    images = torch.tensor(data.data, dtype=torch.float32)
    images, labels = (images - images.mean()) / images.std(), torch.tensor(data.target)
    order = torch.randperm(len(images))
    train, test = order[:960], order[960:]
    blocks = [nn.Sequential(nn.Linear(64, 64, False), build(64), nn.ReLU()) for _ in range(4)]
    model = nn.Sequential(*blocks, nn.Linear(64, 10))
    optimiser = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 15)
    for step in train.split(64):
        optimiser.zero_grad()
        for few in step.split(2):
            (F.cross_entropy(model(images[few]), labels[few]) / 32).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return (model.eval()(images[test]).argmax(1) == labels[test]).float().mean().item()


def by_estimates(width: int) -> Norm:
    """Return the layer as it suits batches of two."""
    return BatchChannelNorm(width, num_groups=8, estimate=True, momentum=0.01)


def test_with_estimates_two_images_at_a_time_are_enough_where_batch_norm_fails():
    assert accuracy_after_micro_batches(by_estimates, 0) > 0.7
    assert accuracy_after_micro_batches(BatchNorm, 0) < 0.4
