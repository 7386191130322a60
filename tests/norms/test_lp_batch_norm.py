"""Batch normalisation by p-norms and by the largest deviations."""

import math

import lp_batch_norm_reference as reference
import numpy as np
import pytest
import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import LpBatchNorm, recalibrate

KINDS = [
    {},
    {"p": 2},
    {"p": 3},
    {"p": "inf", "calibrated": False},
    {"top": 7, "calibrated": False},
    {"p": 2, "top": 7, "calibrated": False},
]
EVERY_KIND = [*KINDS, {"p": "inf"}, {"top": 7}]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("shape", [(12, 3), (6, 3, 5)])
def test_outputs_and_statistics_follow_the_equations(options, shape):
    layer, mean, scale = LpBatchNorm(3, eps=0.1, momentum=0.3, **options).double(), 0.0, 1.0
    spreads = torch.tensor([1.0, 3.0, 0.2]).reshape(3, *[1] * (len(shape) - 2))
    for _ in range(3):
        x = torch.randn(shape, dtype=torch.float64) * spreads + 2
        found, values = layer(x), x.reshape(len(x), 3, -1).numpy()
        p, top = float(options.get("p", 1)), options.get("top")
        of_batch = reference.statistics(values, p, top)
        wanted = reference.normalised(values, *of_batch, 0.1).reshape(shape)
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-9, atol=1e-9)
        mean, scale = 0.7 * mean + 0.3 * of_batch[0], 0.7 * scale + 0.3 * of_batch[1]
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-9)
    np.testing.assert_allclose(layer.running_scale, scale, rtol=1e-9)
    wanted = reference.normalised(values, mean, scale, 0.1).reshape(shape)
    np.testing.assert_allclose(layer.eval()(x).detach(), wanted, rtol=1e-9, atol=1e-9)


def test_two_is_batch_norm_in_training_with_its_gradients():
    ours, theirs = LpBatchNorm(3, p=2, eps=0.02), nn.BatchNorm1d(3, eps=0.02)
    x = (torch.randn(8, 3, 5) * 2 + 1).requires_grad_()
    y, wanted = ours(x), theirs(x)
    torch.testing.assert_close(y, wanted)
    slope = torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad((y * slope).sum(), x),
        torch.autograd.grad((wanted * slope).sum(), x),
        rtol=1e-4,
        atol=1e-5,
    )
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)


def test_two_remembers_the_biased_standard_deviation_where_batch_norm_has_the_unbiased_variance():
    ours, theirs = LpBatchNorm(3, p=2, momentum=1), nn.BatchNorm1d(3, momentum=1)
    x = torch.randn(10, 3) * 2 + 1
    in_training = ours(x), theirs(x)
    torch.testing.assert_close(ours.running_scale.square() * 10 / 9, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), in_training[0])
    theirs.running_var.mul_(0.9)
    torch.testing.assert_close(ours(x), theirs.eval()(x))


@pytest.mark.parametrize("options", EVERY_KIND)
def test_a_trained_batch_norm_keeps_its_function(options):
    theirs = nn.BatchNorm2d(4)
    for _ in range(20):
        theirs(torch.randn(8, 4, 3, 3) * 3 + 5)
    nn.init.normal_(theirs.weight), nn.init.normal_(theirs.bias)
    ours = LpBatchNorm.from_batch_norm(theirs.eval(), **options)
    x = torch.randn(8, 4, 3, 3) * 3 + 5
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("options", EVERY_KIND)
def test_gradients_are_those_of_the_output(options):
    layer = LpBatchNorm(2, **options).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x, fast_mode=True)


@pytest.mark.parametrize(
    "options", [{"p": 1}, {"p": 2}, {"p": 3.5}, {"p": "inf"}, {"top": 10}, {"p": 2, "top": 3}]
)
@pytest.mark.parametrize("num_values", [100, 5000])
def test_the_scale_of_gaussian_values_is_their_standard_deviation(options, num_values):
    layer = LpBatchNorm(1000, momentum=1, **options)
    layer(4 * torch.randn(num_values, 1000) - 7)
    assert layer.running_scale.mean().item() == pytest.approx(4, rel=0.015)


@pytest.mark.parametrize("num_values", [10, 40, 1000, 30_000])
@pytest.mark.parametrize("top", [1, 4, 10])
def test_the_calibration_is_the_expectation_of_the_farthest_values(num_values, top):
    if num_values < 10 * top:
        pytest.skip("less exact, as documented")
    x = torch.randn(num_values, 1, dtype=torch.float64)
    layer = LpBatchNorm(1, top=top, momentum=1).double()
    layer(x)
    measured = (x - x.mean()).abs().flatten().topk(top).values.mean() / layer.running_scale
    assert measured.item() == pytest.approx(reference.expected_top_mean(num_values, top), rel=5e-3)


@pytest.mark.parametrize(
    ("top", "num_values", "std"), [(1, 32, 0.73), (1, 1000, 0.70), (10, 32, 1.13), (10, 1000, 0.84)]
)
def test_the_published_constant_leaves_another_standard_deviation(top, num_values, std):
    x = torch.randn(num_values, 2000)
    published = LpBatchNorm(2000, top=top, calibrated=False)(x)
    assert published.std(0).mean().item() == pytest.approx(std, abs=0.03)


def test_the_farthest_one_is_the_maximum_and_all_of_them_the_mean():
    x = torch.randn(40, 3)
    torch.testing.assert_close(LpBatchNorm(3, top=1)(x), LpBatchNorm(3, p="inf")(x))
    torch.testing.assert_close(LpBatchNorm(3, p="inf")(x), LpBatchNorm(3, p=math.inf)(x))
    # the constant, of order statistics, is not exactly that of the mean
    torch.testing.assert_close(
        LpBatchNorm(3, top=99)(x), LpBatchNorm(3, p=1)(x), rtol=2e-2, atol=2e-2
    )


def test_l1_is_finite_in_float16_arithmetic_where_squares_overflow():
    x = (300 * torch.randn(4096) + 1000).half()
    offset = x - x.mean()
    assert offset.square().mean().isinf()
    estimate = math.sqrt(math.pi / 2) * offset.abs().mean()
    assert estimate.dtype == torch.float16
    assert estimate.item() == pytest.approx(300, rel=0.03)


def test_a_single_value_is_normalised_by_what_is_known_and_teaches_nothing():
    layer = LpBatchNorm(3)
    layer(torch.randn(20, 3) * 4 + 2)
    mean, scale, x = layer.running_mean.clone(), layer.running_scale.clone(), torch.randn(1, 3)
    torch.testing.assert_close(layer(x), (x - mean) / (scale.square() + layer.eps).sqrt())
    assert torch.equal(layer.running_mean, mean) and torch.equal(layer.running_scale, scale)


def test_recalibration_finds_the_scale_of_the_images():
    layer, images = LpBatchNorm(2), torch.randn(400, 2) * 5 + 30
    layer(images * 9)
    recalibrate(layer, images, batch_size=400)
    torch.testing.assert_close(layer.running_mean, images.mean(0))
    torch.testing.assert_close(layer.running_scale, images.std(0), rtol=0.05, atol=0)


def test_options_are_readable_from_a_specification():
    model = nn.Sequential(nn.BatchNorm1d(4))
    convert_norms(model, "lp_batch_norm(p='inf', calibrated=False)")
    assert model[0].p == math.inf and not model[0].calibrated
    model = nn.Sequential(nn.BatchNorm1d(4))
    convert_norms(model, "lp_batch_norm(top=10)")
    assert (model[0].p, model[0].top) == (1, 10)
    assert "p=1, top=10, calibrated=True" in repr(model[0])


@pytest.mark.parametrize("p", [0.5, 0, -1, math.nan, "two", None])
def test_what_is_no_norm_raises(p):
    with pytest.raises(
        ValueError,
        match=r"p of lp_batch_norm must be (at least 1|a number|a finite number) or inf, got",
    ):
        LpBatchNorm(3, p=p)


@pytest.mark.parametrize("top", [0, -1, 2.0, "all"])
def test_what_is_no_count_raises(top):
    with pytest.raises(
        ValueError, match=r"top of lp_batch_norm must be (at least 1|a whole number), got"
    ):
        LpBatchNorm(3, top=top)


@pytest.mark.parametrize("p", [5.0, 76.0, 1e6])
def test_high_powers_equal_float64_and_do_not_overflow(p):
    torch.manual_seed(0)
    x = (20 * torch.randn(64, 3)).requires_grad_()
    layer = LpBatchNorm(3, p=p, eps=1e-12, affine=False)
    y = layer(x)
    y.square().sum().backward()
    centred = (x - x.mean(0)).detach().double()
    largest = centred.abs().amax(0)
    scale = largest * (centred.abs() / largest).pow(p).mean(0).pow(1 / p)
    ratio = y.detach().double() / (centred / scale)  # the Gaussian scale of p, equal for all
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio[0, 0])), rtol=1e-4, atol=0)
    assert x.grad.isfinite().all() and layer.eval()(x).isfinite().all()
