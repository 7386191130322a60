"""Predictions from the network for its Kalman-normalised layers."""

import copy
import pickle

import kalman_norm_reference as reference
import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

from dacbn.models import convert_norms

# Squeeze-and-excitation, channel slices and the like end what can be predicted.
FAMILIES = {
    "resnet18": ("20 of 20", {}),
    "resnet26": ("29 of 29", {}),
    "resnetv2_18": ("17 of 17", {}),
    "densenet121": ("13 of 13", {"growth_rate": 8, "block_config": (2, 3)}),
    "mobilenetv3_small_050": ("25 of 34", {}),
    "efficientnet_b0": ("33 of 49", {}),
    "regnety_002": ("31 of 44", {}),
    "ghostnet_050": ("41 of 80", {}),
}
STANDARDISED = np.zeros(3), np.ones(3)


def numbers(*values):
    return [value.detach().numpy() for value in values]


def after(norm):
    """Return the moments of a norm's output."""
    weight, bias = numbers(norm.weight, norm.bias)
    return bias, weight**2


def conv(channels, outputs, stride=1):
    return nn.Conv2d(channels, outputs, 3, stride, padding=1, bias=False)


class Branches(nn.Module):
    """A residual block whose shortcut is normalised too, one whose is not, and a concatenation."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = conv(3, 4), nn.BatchNorm2d(4)
        self.main, self.main_norm = conv(4, 6), nn.BatchNorm2d(6)
        self.short, self.short_norm = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)
        self.inner, self.inner_norm = conv(6, 6), nn.BatchNorm2d(6)
        self.last, self.last_norm = nn.Conv2d(12, 5, 1, bias=False), nn.BatchNorm2d(5)
        self.act = nn.ReLU()

    def forward(self, x):
        """Compute a map (B, 5, H, W)."""
        x = self.act(self.stem_norm(self.stem(x)))
        x = torch.relu(self.main_norm(self.main(x)) + self.short_norm(self.short(x)))
        shortcut = x
        x = self.inner_norm(self.inner(x))
        x += shortcut
        return self.last_norm(self.last(torch.cat([x, shortcut], dim=1)))


def network(kind=Branches):
    model = kind()
    report = convert_norms(model, "kalman_norm")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.double(), report.notes[0]


def assert_predicts(norm, wanted):
    for found, value in zip(norm.predict(norm.running_mean), wanted, strict=True):
        np.testing.assert_allclose(found.detach(), value, rtol=1e-6, atol=1e-9)


def test_branches_meet_and_part():
    model, note = network()
    assert note == "5 of 5 layers have a prediction"
    stem = reference.relu_moments(*after(model.stem_norm))
    branches = after(model.main_norm), after(model.short_norm)
    stream = reference.relu_moments(*[a + b for a, b in zip(*branches, strict=True)])
    inner = after(model.inner_norm)
    both = [np.concatenate([a + b, b]) for a, b in zip(inner, stream, strict=True)]
    short = reference.conv_moments(model.short.weight.detach().numpy(), *stem)
    wanted = {
        "stem": reference.conv_moments(*numbers(model.stem.weight), *STANDARDISED),
        "main": reference.conv_moments(*numbers(model.main.weight), *stem),
        "short": (short[0] + model.short.bias.detach().numpy(), short[1]),
        "inner": reference.conv_moments(*numbers(model.inner.weight), *stream),
        "last": reference.conv_moments(*numbers(model.last.weight), *both),
    }
    for name, moments in wanted.items():
        assert_predicts(getattr(model, f"{name}_norm"), moments)


class Unclear(nn.Module):
    """Operations after which nothing is predicted, and two after which something is."""

    def __init__(self):
        super().__init__()
        self.first, self.joint = conv(3, 4), nn.Conv2d(4, 4, 2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(11))
        self.norms.append(nn.BatchNorm1d(4))

    def forward(self, x):
        """Pass every result through its own norm."""
        x = self.norms[0](self.first(x))
        context, active = x.mean((2, 3), keepdim=True), nn.functional.silu(x, inplace=False)
        results = [
            nn.functional.max_pool2d(active, 3, 1, 1),
            x * context,
            x + context,
            x + 1,
            torch.add(x, x, alpha=2),
            self.joint(torch.cat([x, x], dim=2)),
            x[:, :, 1:],
            x.flatten(2).transpose(1, 2).reshape(x.shape),
            nn.functional.leaky_relu(x, 0.3),
            self.norms[10](x),
            x.reshape(-1, 4),
        ]
        return [norm(y) for norm, y in zip(self.norms[1:], results, strict=True)]


def test_what_is_unclear_ends_the_prediction():
    model, note = network(Unclear)
    assert note == "2 of 12 layers have a prediction"
    assert [norm.graph is not None for norm in model.norms] == [True, True, *[False] * 10]
    model(torch.randn(2, 3, 4, 4).double())[1].sum().backward()


def test_a_way_begins_at_the_norms_before():
    model, _ = network()
    ways = model.main_norm.graph.paths
    assert [step.target for step in ways["main_norm"]] == ["stem_norm", "act", "main"]


def test_norms_without_an_affine_put_out_standard_moments():
    model = nn.Sequential(nn.BatchNorm2d(4, affine=False), conv(4, 5), nn.BatchNorm2d(5))
    convert_norms(model, "kalman_norm")
    standard = np.zeros(4), np.ones(4)
    wanted = reference.conv_moments(model[1].weight.detach().double().numpy(), *standard)
    found = model[2].predict(torch.zeros(1, dtype=torch.float64))
    np.testing.assert_allclose(found[1].detach(), wanted[1], rtol=1e-6)


def test_a_norm_that_stays_with_its_activation_is_not_known():
    model = nn.Sequential(timm.layers.BatchNormAct2d(4), conv(4, 5), nn.BatchNorm2d(5))
    report = convert_norms(model, "kalman_norm", sites="2")
    assert report.notes == ("0 of 1 layers have a prediction",)


class Flat(nn.Module):
    """A norm of a flattened map, as at the end of a small network."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = conv(3, 4), nn.BatchNorm1d(16)

    def forward(self, x):
        """Compute features (B, 16) of maps 2 x 2."""
        x = self.first(x)
        return self.norm(x.view(x.size(0), -1))


def test_a_flattened_map_is_predicted_run_by_run():
    model, _ = network(Flat)
    mean, var = reference.conv_moments(*numbers(model.first.weight), *STANDARDISED)
    assert_predicts(model.norm, (np.repeat(mean, 4), np.repeat(var, 4)))
    assert model(torch.randn(2, 3, 2, 2).double()).isfinite().all()


def test_norms_that_stay_are_known_and_may_change_later():
    model = Branches()
    report = convert_norms(model, "kalman_norm", sites="main_norm")
    assert report.notes == ("1 of 1 layers have a prediction",)
    weight = model.main.weight.detach().double().numpy()
    model.stem_norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        model.stem_norm.bias.fill_(2)
    stem = reference.relu_moments(np.full(4, 2.0), np.ones(4))
    found = model.main_norm.predict(torch.zeros(1, dtype=torch.float64))
    np.testing.assert_allclose(found[0].detach(), reference.conv_moments(weight, *stem)[0], 1e-5)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_families_convert_and_learn(name):
    predicted, options = FAMILIES[name]
    model = timm.create_model(name, num_classes=3, **options)
    keys = list(model.state_dict())
    report = convert_norms(model, "kalman_norm")
    assert report.notes == (f"{predicted} layers have a prediction",)
    assert len(model.state_dict()) == len(keys)  # nothing is registered twice
    y = model(torch.randn(2, 3, 32, 32))
    y.square().sum().backward()
    assert y.isfinite().all()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_predicts_from_its_own_parameters(copied):
    model, _ = network()
    x = torch.randn(2, 3, 4, 4).double()
    model(x)
    twin = copied(model)
    assert torch.equal(model(x), twin(x))
    before = model.main_norm.predict(x)[0]
    with torch.no_grad():
        twin.stem_norm.bias.add_(1)
    assert torch.equal(model.main_norm.predict(x)[0], before)
    assert not torch.equal(twin.main_norm.predict(x)[0], before)


def test_two_forwards_may_come_before_one_backward():
    model, _ = network()
    x = torch.randn(4, 3, 4, 4).double()
    apart = []
    for part in x.split(2):
        apart.append(torch.autograd.grad(model(part).pow(3).sum(), list(model.parameters())))
    together = [model(part).pow(3).sum() for part in x.split(2)]
    sum(together).backward()
    for parameter, *gradients in zip(model.parameters(), *apart, strict=True):
        torch.testing.assert_close(parameter.grad, sum(gradients))


def test_checkpointing_changes_no_gradient():
    model = nn.Sequential(
        *(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 4), nn.BatchNorm2d(4), nn.ReLU())
    )
    convert_norms(model, "kalman_norm")
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    wanted = torch.autograd.grad(model(x).pow(3).sum(), list(model.parameters()))
    checkpoint_sequential(model, 2, x, use_reentrant=False).pow(3).sum().backward()
    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_network_compiles_into_one_graph():
    model, _ = network()
    x, twin = torch.randn(2, 3, 4, 4).double(), copy.deepcopy(model)
    torch.compiler.reset()
    y = torch.compile(model, fullgraph=True, backend="eager")(x)
    torch.testing.assert_close(y, twin(x))
