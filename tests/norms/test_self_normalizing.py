"""The self-normalizing scheme: SELU, LeCun weights, alpha dropout and balanced sums."""

import pytest
import self_normalizing_reference as reference
import timm
import torch
import torch.nn.functional as F
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import SelfNormalizing


class Residual(nn.Module):
    """A block with a branch and either a skip or a second branch."""

    def __init__(self, skip, activation=F.relu):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.shortcut = nn.Identity() if skip else nn.Sequential(nn.Conv2d(8, 8, 1, bias=False))
        self.activation = activation

    def forward(self, x):
        """Map x (N, 8, H, W) to one like it."""
        return self.activation(self.norm(self.conv(x)) + self.shortcut(x))


def perceptron(depth=32, width=256):
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def moments_by_layer(model, x):
    """Return the mean and variance after every SELU."""
    found = []

    def look(_layer, _inputs, output):
        found.append((output.mean().item(), output.var().item()))

    for layer in model.modules():
        if isinstance(layer, nn.SELU):
            layer.register_forward_hook(look)
    model(x)
    return found


def test_the_constants_are_those_of_the_fixed_point():
    assert F.selu(torch.tensor(1.0)).item() == pytest.approx(reference.SCALE)
    lowest = F.selu(torch.tensor(-50.0)).item()
    assert lowest == pytest.approx(-reference.SCALE * reference.ALPHA)
    assert reference.moments_after(0, 1) == pytest.approx((0, 1), abs=1e-7)
    for mean, var in ((0.1, 0.8), (-0.3, 1.5)):
        after = reference.moments_after(mean, var)
        assert after[0] == pytest.approx(reference.mean_after(mean, var))
        assert abs(after[0]) < abs(mean) and abs(after[1] - 1) < abs(var - 1)


@pytest.mark.parametrize(("mean", "var"), [(0.0, 1.0), (0.4, 1.6), (-0.3, 0.5)])
def test_moments_are_kept_or_found_through_32_layers(mean, var):
    model = perceptron()
    convert_norms(model, "self_normalizing")
    with torch.no_grad():
        found = moments_by_layer(model, torch.randn(256, 256) * var**0.5 + mean)
    assert len(found) == 32
    for after_mean, after_var in found[8:]:
        assert abs(after_mean) < 0.15 and 0.75 < after_var < 1.3


def test_the_first_layers_follow_the_moment_map():
    model = perceptron(depth=1, width=1000)
    convert_norms(model, "self_normalizing")
    with torch.no_grad():
        ((mean, var),) = moments_by_layer(model, torch.randn(500, 1000) * 1.3)
    wanted = reference.moments_after(0, 1.3**2)
    assert mean == pytest.approx(wanted[0], abs=0.03) and var == pytest.approx(wanted[1], rel=0.03)


def test_without_the_scheme_the_variance_is_lost():
    model = perceptron()
    convert_norms(model, "no_norm")
    assert model(torch.randn(64, 256)).var() < 1e-3


def test_alpha_dropout_keeps_the_moments_too():
    model = nn.Sequential(nn.Linear(400, 400), nn.BatchNorm1d(400), nn.ReLU(), nn.Dropout(0.1))
    convert_norms(model, "self_normalizing")
    with torch.no_grad():
        y = model(torch.randn(500, 400))
    assert isinstance(model[3], nn.AlphaDropout) and model[3].p == 0.1
    assert abs(y.mean()) < 0.03 and y.var().item() == pytest.approx(1, abs=0.06)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout2d(0.3)).eval()
    convert_norms(model, "self_normalizing")
    assert isinstance(model[2], nn.FeatureAlphaDropout) and not model[2].training


@pytest.mark.parametrize("name", ["resnet18", "repvgg_a0", "resnetv2_18"])
def test_the_variance_of_a_network_stays_within_bounds(name):
    model = timm.create_model(name, num_classes=0)
    convert_norms(model, "self_normalizing")
    with torch.no_grad():
        found = moments_by_layer(model.eval(), torch.randn(4, 3, 64, 64))
    assert len(found) > 15
    assert all(0.2 < var < 4 for _, var in found)


def test_weights_are_drawn_anew_with_a_variance_of_one_over_the_inputs():
    model = nn.Sequential(
        nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 256, 3, groups=4), nn.Linear(99, 99)
    )
    for value in model.parameters():
        nn.init.constant_(value, 5)
    report = convert_norms(model, "self_normalizing")
    for layer, inputs in ((model[0], 144), (model[2], 144), (model[3], 99)):
        assert layer.weight.std().item() * inputs**0.5 == pytest.approx(1, abs=0.05)
        assert abs(layer.weight.mean()) < 0.01 and layer.bias.eq(0).all()
    assert model[1].weight.eq(1).all() and model[1].bias.eq(0).all()
    assert "3 convolutions and linear layers are re-initialised" in report.notes[1]


def test_a_branch_around_a_skip_starts_closed_and_learns():
    model, x = Residual(skip=True), torch.randn(4, 8, 5, 5)
    report = convert_norms(model, "self_normalizing")
    y = model(x)
    assert torch.equal(y, x.relu())
    y.sum().backward()
    assert model.norm.weight.grad.abs().min() > 0
    assert "residual branches that start closed: 1" in report.notes


def test_two_branches_share_the_variance():
    model = Residual(skip=False)
    convert_norms(model, "self_normalizing")
    assert model.norm.weight.eq(0.5**0.5).all()
    assert model.shortcut[0].weight.std().item() == pytest.approx((1 / 8 / 2) ** 0.5, rel=0.3)


def test_activations_fused_into_timms_normalisers_change_too_and_gates_stay():
    model = timm.create_model("efficientnet_b0", num_classes=0)
    before = [type(layer).__name__ for layer in model.modules()]
    report = convert_norms(model, "self_normalizing")
    after = [type(layer).__name__ for layer in model.modules()]
    assert after.count("SELU") == before.count("SiLU") == 49 and "SiLU" not in after
    assert after.count("Sigmoid") == before.count("Sigmoid") == 16
    assert report.notes[0].startswith("49 activations became SELU")
    assert report.notes[-1] == "operations that change the moments remain: sigmoid gates (16)"


def test_what_the_code_calls_is_counted():
    notes = convert_norms(Residual(skip=True), "self_normalizing").notes
    assert (
        notes[-1]
        == "operations that change the moments remain: activations called as functions (1)"
    )


def test_a_network_that_cannot_be_traced_is_made_over_as_far_as_can_be():
    model = Residual(skip=True, activation=lambda x: x if x.sum() > 0 else -x)
    report = convert_norms(model, "self_normalizing")
    assert "cannot be traced" in report.notes[-1] and model.norm.weight.eq(1).all()


def test_a_part_of_a_network_raises_with_the_cure():
    model = perceptron(depth=3)
    before = [layer.weight.clone() for layer in model if isinstance(layer, nn.Linear)]
    with pytest.raises(ValueError, match=r"initialises the whole network again.*sites='all'"):
        convert_norms(model, "self_normalizing", "first")
    now = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
    assert not any(isinstance(layer, SelfNormalizing) for layer in model)


def test_nothing_is_said_to_be_carried_over():
    assert convert_norms(perceptron(depth=3), "self_normalizing").carried == ()


def test_alone_the_layer_scales_and_shifts():
    layer, x = SelfNormalizing(4), torch.randn(3, 4, 5) * 9
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.weight, 2), nn.init.constant_(layer.bias, 1)
    torch.testing.assert_close(layer(x), 2 * x + 1)
