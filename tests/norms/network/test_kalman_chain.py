"""Predictions learned from layer to layer, for networks that cannot be traced."""

import copy

import numpy as np
import pytest
import timm
import torch
from timm.models.vgg import VGG
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms.kalman_norm import fuse
from dacbn.norms.network.kalman_chain import Chain


class Untraceable(nn.Module):
    """A network that branches on values; its layers run in the order of their registration."""

    def __init__(self):
        super().__init__()
        self.first, self.first_norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.second, self.second_norm = nn.Linear(4, 5), nn.BatchNorm1d(5)

    def forward(self, x):
        """Compute features (B, 5)."""
        if x.sum() > 1e9:
            raise ValueError("too much")
        return self.second_norm(self.second(self.first_norm(self.first(x))))


def network(**options):
    model = Untraceable()
    report = convert_norms(model, "kalman_norm", **options)
    return model, report.notes


def drift(model):
    """Set the transitions to values that they could have learned."""
    with torch.no_grad():
        for norm in (model.first_norm, model.second_norm):
            norm.learned.offset.copy_(torch.randn_like(norm.learned.offset))
        model.second_norm.learned.matrix.copy_(torch.randn(5, 4))


def batch_moments(x):
    return x.mean(0), x.var(0, correction=0)


def assert_standardised(y, x, moments):
    mean, var = (value.detach().numpy() for value in moments)
    np.testing.assert_allclose(
        y.detach(), (x.detach().numpy() - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5
    )


def test_it_takes_the_place_of_propagation_and_says_so():
    _, notes = network()
    # offsets and noises of 4 and 5 channels, and a matrix 5 x 4
    assert notes == (
        "the network cannot be traced: 2 layers learn their transitions, 38 parameters more",
    )
    _, notes = network(transition="learned")
    assert notes == ("2 layers learn their transitions, 38 parameters more",)


def test_the_belief_about_a_layer_predicts_the_next():
    model, _ = network(gain=0.2)
    model(torch.randn(8, 3))
    drift(model)
    x = torch.randn(4, 3)
    hidden = model.first(x)
    one, other = model.first_norm.learned, model.second_norm.learned
    mean, var = fuse((one.offset, one.noise**2), batch_moments(hidden), 0.2)
    normal = model.first_norm(hidden)
    assert_standardised(normal, hidden, (mean, var))
    hidden = model.second(normal)
    prediction = other.offset + other.matrix @ mean, other.noise**2 + other.matrix**2 @ var
    y = model.second_norm(hidden)
    assert_standardised(y, hidden, fuse(prediction, batch_moments(hidden), 0.2))
    y.pow(3).sum().backward()
    for transition in (one, other):
        assert all(parameter.grad.abs().max() > 0 for parameter in transition.parameters())


def test_a_fresh_network_starts_on_the_scale_of_its_first_batch():
    model, _ = network()
    x = torch.randn(16, 3) * 100
    y = model(x)
    scale = model.first(x).square().mean().sqrt()
    torch.testing.assert_close(model.first_norm.learned.noise, scale.expand(4), check_dtype=False)
    assert 0.3 < y.std() < 3
    model(x * 100)
    torch.testing.assert_close(model.first_norm.learned.noise, scale.expand(4), check_dtype=False)


def test_a_trained_network_starts_on_its_statistics():
    model = Untraceable()
    for _ in range(30):
        model(torch.randn(16, 3) * 3 + 1)
    statistics = model.second_norm.running_mean, model.second_norm.running_var
    convert_norms(model, "kalman_norm")
    model(torch.randn(4, 3))
    for found, wanted in zip(model.second_norm.learned.predict(), statistics, strict=True):
        torch.testing.assert_close(found.detach(), wanted)


def test_nothing_is_kept_after_a_forward_or_in_evaluation():
    model, _ = network()
    chain = model.first_norm.learned.chain
    assert chain is model.second_norm.learned.chain
    model(torch.randn(4, 3))
    assert chain.previous(1) is None and chain.previous(2) is None
    model.eval()
    model.first_norm(torch.randn(4, 4))
    assert chain.previous(1) is None


def test_a_layer_out_of_order_is_predicted_by_its_offset():
    model, _ = network()
    model(torch.randn(4, 3))
    drift(model)
    learned = model.second_norm.learned
    assert torch.equal(learned.predict()[0], learned.offset)
    model.first_norm(torch.randn(4, 4))
    assert not torch.equal(learned.predict()[0], learned.offset)
    chain = Chain(4)
    chain.store(0, (torch.zeros(4), torch.ones(4)))
    assert chain.previous(1) is not None and chain.previous(2) is None and chain.previous(0) is None


def test_an_interrupted_forward_can_be_copied_and_has_no_effect_on_the_next():
    model, _ = network()
    x = torch.randn(4, 3)
    model(x)
    drift(model)
    clean = copy.deepcopy(model)
    model.first_norm(model.first(x * 9))
    twin = copy.deepcopy(model)
    assert twin.second_norm.learned.chain is twin.first_norm.learned.chain
    assert twin.second_norm.learned.chain is not model.second_norm.learned.chain
    wanted = clean(x)
    assert torch.equal(model(x), wanted) and torch.equal(twin(x), wanted)


def test_two_forwards_may_come_before_one_backward():
    model, _ = network()
    first, second = model(torch.randn(4, 3)), model(torch.randn(4, 3))
    (first.pow(3).sum() + second.pow(3).sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("batches", [0, 1])
def test_a_loaded_network_continues_like_the_saved_one(batches):
    model, loaded, x = network()[0], network()[0], torch.randn(4, 3)
    loaded(x * 100)
    for _ in range(batches):
        model(x)
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(loaded(x + 1), model(x + 1))


def test_the_chain_follows_the_order_of_a_traced_network():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.early = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, x):
            return self.late(self.early(x))

    model = Turned()
    convert_norms(model, "kalman_norm", transition="learned")
    assert model.early.learned.position == 0 and model.late.learned.position == 1
    assert model.early.learned.matrix is None


def test_it_compiles_with_its_network():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    convert_norms(model, "kalman_norm", transition="learned")
    x = torch.randn(4, 3)
    model(x)
    twin = copy.deepcopy(model)
    torch.compiler.reset()
    y = torch.compile(model, fullgraph=True, backend="eager")(x)
    torch.testing.assert_close(y, twin(x))


FAMILIES = {
    "mobilevit_xxs": lambda: timm.create_model("mobilevit_xxs", num_classes=3),
    "vgg": lambda: VGG([8, "M", 16, "M", 24], num_classes=3, norm_layer=nn.BatchNorm2d),
}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_families_that_cannot_be_traced_convert_and_learn(name):
    model = FAMILIES[name]()
    report = convert_norms(model, "kalman_norm")
    assert report.notes[0].startswith("the network cannot be traced")
    y = model(torch.randn(1, 3, 64, 64))
    y.square().sum().backward()
    assert y.isfinite().all()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)
