"""UCB-Norm with one gate for a network, against its equations."""

import copy

import mixture_norm_reference as reference
import numpy as np
import pytest
import timm
import torch
from shared_gate_network import OWN, SHARED, TwoStages, assigned_by, converted, images, photos
from torch import nn

from dacbn.analysis.observe.recorder import record
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import TensorImages
from dacbn.models import convert_norms, create_network
from dacbn.norms import UCBNorm, recalibrate, set_statistics


def array(tensor):
    return tensor.detach().double().numpy()


def state_of(layer):
    return tuple(array(getattr(layer.running, name)) for name in ("prior", "mean", "var"))


def normalised(layer, x, degrees, training):
    """Return what a layer makes of x (N, C, L) given p(k | image), and its state afterwards."""
    prior, mean, var = after = state_of(layer)
    if training:
        share, mean, var = reference.moments(x, degrees)
        momentum, count = layer.running.momentum, x.shape[0] * x.shape[2]
        after = reference.moved(after, share, mean, var, count, momentum)
    y = reference.mixed(x, degrees, prior, mean, var, layer.eps, layer.prior_scale)
    return y * array(layer.weight)[:, None] + array(layer.bias)[:, None], after


def by_equations(model, x, training):
    """Return the output for x (N, 3, L), and the state of both layers afterwards."""
    first, second = (array(conv.weight)[:, :, 0, 0] for conv in (model.conv, model.next))
    x = np.einsum("dc,ncl->ndl", first, x)
    prior, mean, var = state_of(model.early)
    degrees = reference.posterior(x, prior, mean, var + model.early.eps, "sample")
    y, early = normalised(model.early, x, degrees, training)
    x = np.einsum("dc,ncl->ndl", second, np.tanh(y))
    degrees = degrees[:, :, :1].repeat(x.shape[1], 2)
    y, late = normalised(model.late, x, degrees, training)
    return y, early, late


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("clusters", [2, 3])
def test_outputs_and_running_state_follow_the_equations(training, clusters):
    model = converted(clusters=clusters).train(training)
    for seed in (3, 4):
        x = images(seed=seed, apart=0.5)
        wanted, *states = by_equations(model, array(x.flatten(2)), training)
        np.testing.assert_allclose(array(model(x).flatten(2)), wanted, rtol=1e-3, atol=2e-4)
        for layer, state in zip((model.early, model.late), states, strict=True):
            for found, value in zip(state_of(layer), state, strict=True):
                np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_the_equations(training):
    """By finite differences, also through what the first layer assigns to the second."""
    model = converted().double().train(training)
    x = images(4, seed=3, apart=0.0).double().requires_grad_()
    before = copy.deepcopy(model)
    factors = torch.linspace(-1, 2, 4 * 3 * 2).cos().double()
    (model(x).flatten() * factors).sum().backward()
    step, wanted = 1e-6, np.zeros(x.numel())
    for index in range(x.numel()):
        ends = []
        for sign in (1, -1):
            moved = array(x).reshape(-1).copy()
            moved[index] += sign * step
            y = by_equations(before, moved.reshape(4, 3, 2), training)[0]
            ends.append((y.reshape(-1) * array(factors)).sum())
        wanted[index] = (ends[0] - ends[1]) / (2 * step)
    assert np.abs(wanted).max() > 0.1
    # the sums of a batch start from a mass of 1e-5, which the equations do not have
    np.testing.assert_allclose(array(x.grad).reshape(-1), wanted, rtol=1e-3, atol=1e-4)


def pretrained():
    """Return a small network of timm with statistics as if it were trained, in evaluation mode."""
    model = timm.create_model("test_efficientnet", num_classes=0)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(), layer.running_var.uniform_(0.5, 2)
                layer.weight.uniform_(0.5, 1.5), layer.bias.normal_()
    return model.eval()


def test_all_layers_of_a_network_assign_each_image_alike():
    model = timm.create_model("test_efficientnet", num_classes=0)
    report = convert_norms(model, SHARED)
    assert report.notes == (
        f"bn1.0 assigns the images to components for all {len(report.replaced)} layers",
    )
    for _ in range(20):
        model(photos())
    found = assigned_by(model.eval(), photos())
    assert len(found) == len(report.replaced) > 5
    first = found["bn1.0"]
    assert all(torch.equal(degrees, first) for degrees in found.values())
    kinds = first.argmax(0)
    assert set(kinds[::2].tolist()) ^ set(kinds[1::2].tolist()) == {0, 1}


def test_layers_with_gates_of_their_own_do_not():
    model = timm.create_model("test_efficientnet", num_classes=0)
    convert_norms(model, OWN)
    for _ in range(5):
        model(photos())
    first, *others = assigned_by(model.eval(), photos()).values()
    assert any(not torch.equal(degrees, first) for degrees in others)


def test_a_conversion_keeps_the_function():
    model, x = pretrained(), photos()
    wanted = model(x)
    report = convert_norms(model, SHARED)
    assert not any("cannot start" in note for note in report.notes)
    torch.testing.assert_close(model(x), wanted, rtol=1e-5, atol=1e-5)


def test_the_first_batch_parts_what_all_layers_inherited():
    model = pretrained()
    convert_norms(model, SHARED)
    layers = [layer for layer in model.modules() if isinstance(layer, UCBNorm)]
    assert all(torch.equal(*layer.running.mean) for layer in layers)
    model.train()(photos())
    assert not any(torch.equal(*layer.running.mean) for layer in layers)
    shares = torch.stack([layer.running.prior for layer in layers])
    torch.testing.assert_close(shares[1:], shares[1:2].expand_as(shares[1:]))


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_by_itself_assigns_by_its_own_gate(training):
    ours, own = UCBNorm(3, 2, assign="sample", gate="shared"), UCBNorm(3, 2, assign="sample")
    for x in (images(), images(seed=1)):
        torch.testing.assert_close(ours(x), own(x))
    ours.train(training), own.train(training)
    torch.testing.assert_close(ours(images()), own(images()))
    assert ours.state_dict().keys() == own.state_dict().keys()
    model = nn.Sequential(nn.BatchNorm2d(3))
    convert_norms(model, SHARED, sites="first")
    own = UCBNorm(3, 2, assign="sample")
    torch.testing.assert_close(model(images()), own(images()))


def test_layers_with_gates_of_their_own_share_nothing():
    model = converted(OWN)
    assert model.late.shared is None and not model._forward_hooks
    assert model.second(model.first(images())).isfinite().all()


def test_an_image_has_the_same_answer_in_any_company():
    model, x = converted().eval(), images()
    for rows in ([3], [5, 3], [3, 0, 1]):
        torch.testing.assert_close(model(x[rows])[rows.index(3)], model(x)[3])


def test_a_batch_of_a_single_image_trains():
    model = converted()
    assert model(images(1)).isfinite().all()


def test_a_batch_smaller_than_the_components_parts_nothing():
    model = TwoStages()
    convert_norms(model, SHARED)
    model(images(1))
    assert torch.equal(*model.early.running.mean) and torch.equal(*model.late.running.mean)
    model(images())
    assert not torch.equal(*model.late.running.mean)


def test_nothing_outlives_a_forward_pass_and_parts_of_a_network_are_refused():
    model = converted()
    model(images())
    assert model.late.shared.found is None
    assert model.first(images()).isfinite().all()
    with pytest.raises(RuntimeError, match="call the model that was converted, not its parts"):
        model.second(torch.randn(4, 2, 1, 2))


def test_a_network_that_turns_positions_into_samples_is_refused_with_the_cure():
    class Flattening(TwoStages):
        def second(self, activations):
            rows = self.next(activations).permute(0, 2, 3, 1).flatten(0, 2)
            return self.late(rows[:, :, None, None])

    model = Flattening()
    convert_norms(model, SHARED)
    with pytest.raises(ValueError, match=r"6 images.*gets 12 samples: leave it out by `sites`"):
        model(images())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "needs assign='sample', got 'channel': layers have images in common"),
        ({"assign": "position"}, "needs assign='sample', got 'position'"),
        ({"assign": "sample", "update": "learned"}, "needs update='em', got 'learned'"),
        ({"assign": "sample", "update": "hybrid"}, "needs update='em', got 'hybrid'"),
        ({"gate": "all"}, "gate of ucb_norm must be one of own, shared"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_the_reason(options, text):
    with pytest.raises(ValueError, match=text):
        UCBNorm(3, **{"gate": "shared", **options})


def test_statistics_can_be_frozen_and_recalibrated():
    model, x = converted(), images(40, seed=7) + 1
    set_statistics(model, "frozen")
    before = copy.deepcopy(model.state_dict())
    torch.testing.assert_close(model.train()(x), copy.deepcopy(model).eval()(x))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    recalibrate(model, x)
    degrees = assigned_by(model.eval(), x)["late"]
    activations = model.next(model.first(x)).flatten(2)
    _, mean, _ = reference.moments(
        array(activations), array(degrees)[:, :, None, None].repeat(3, 2).repeat(2, 3)
    )
    assert np.abs(mean - array(model.late.running.mean)).max() < 0.5


def test_analyses_see_what_was_assigned():
    network = create_network("digits_cnn", SHARED, num_classes=2)
    for _ in range(5):
        network(photos(16) / 3)
    samples = {
        name: Sample(TensorImages((85 * photos(8)).byte()), index)
        for index, name in enumerate(("source", "target"))
    }
    recording = record(Subject("example", network, samples, ("a", "b")))
    assert len(recording.mixtures) == 2
    first, second = (layer["source"].assigned for layer in recording.layers.values())
    torch.testing.assert_close(first.soft, second.soft)
