"""Latent domains: ModeNorm's mathematics with one gate for a whole network."""

import copy

import mode_norm_reference as reference
import numpy as np
import pytest
import timm
import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import LatentDomainNorm, ModeNorm


class TwoStages(nn.Module):
    """Two convolutions with BatchNorms, registered in the order that they do not run in."""

    def __init__(self):
        super().__init__()
        self.late = nn.BatchNorm2d(5)
        self.early = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(3, 4, 1)
        self.next = nn.Conv2d(4, 5, 1)

    def forward(self, images):
        """Run both stages."""
        return self.second(self.first(images))

    def first(self, images):
        """Run the stage whose normaliser assigns."""
        return self.early(self.conv(images)).relu()

    def second(self, activations):
        """Run the stage whose normaliser takes over."""
        return self.late(self.next(activations))


def converted(**options):
    model = TwoStages()
    report = convert_norms(model, "latent_domain_norm", **options)
    with torch.no_grad():  # a gate that tells images apart
        model.early.gate.weight.copy_(3 * torch.randn(model.early.gate.weight.shape))
    return model, report


def array(tensor):
    return tensor.detach().double().numpy()


IMAGES = torch.linspace(-2, 3, 4 * 3 * 6).sin().reshape(4, 3, 2, 3) * 2


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_by_itself_is_mode_norm(training):
    ours, theirs = LatentDomainNorm(3, 4), ModeNorm(3, 4)
    for batch in (IMAGES, IMAGES + 1):
        assert torch.equal(ours(batch), theirs(batch))
    ours.train(training), theirs.train(training)
    assert torch.equal(ours(IMAGES), theirs(IMAGES))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


@pytest.mark.parametrize("training", [True, False])
def test_every_layer_normalises_by_what_the_first_assigned(training):
    model, _ = converted(num_clusters=3)
    model(IMAGES), model(IMAGES * 2)
    model.train(training)
    early, late = model.conv(IMAGES), []
    model.late.register_forward_pre_hook(lambda _, inputs: late.append(inputs[0]))
    state = tuple(array(getattr(model.late.running, part)) for part in ("prior", "mean", "var"))
    y = model(IMAGES)
    gate = array(model.early.gate.weight), array(model.early.gate.bias)
    degrees = reference.assigned(array(early.flatten(2)), *gate)
    assert degrees.std(0).max() > 0.1
    x = array(late[0].flatten(2))
    if training:
        wanted, _ = reference.by_batch(x, degrees, state, model.late.eps, momentum=0.1)
    else:
        wanted = reference.by_running(x, degrees, state, model.late.eps)
    np.testing.assert_allclose(array(y.flatten(2)), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_given_the_same_assignments_mode_norm_says_the_same(training):
    model, _ = converted()
    model(IMAGES)
    alone = ModeNorm(5)
    alone.load_state_dict(model.late.state_dict(), strict=False)  # all but the gate
    model.train(training), alone.train(training)
    found = model.early.gate_samples(model.conv(IMAGES).mean((2, 3)))
    alone.gate_samples = lambda x: found
    seen = []
    model.late.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = model(IMAGES)
    torch.testing.assert_close(alone(seen[0]), y)


def test_only_the_layer_that_runs_first_has_a_gate():
    model, report = converted(num_clusters=3)
    gates = [name for name in model.state_dict() if "gate" in name]
    assert gates == ["early.gate.weight", "early.gate.bias"]
    assert model.early.gate.weight.shape == (3, 4) and model.late.gate is None
    assert report.notes == ("early assigns the images to latent domains for all 2 layers",)


def test_in_a_network_that_cannot_be_traced_the_first_registered_has_it():
    class Deciding(TwoStages):
        def forward(self, images):
            return super().forward(images) if images.sum() < 1e9 else images

    model = Deciding()
    model.late = model._modules.pop("late")  # behind the other
    convert_norms(model, "latent_domain_norm")
    assert model.early.gate is not None and model.late.gate is None
    assert model(IMAGES).isfinite().all()


def test_the_gate_hears_every_layer():
    class Apart(TwoStages):
        def forward(self, images):
            self.first(images)
            return self.second(self.conv(images))  # the first normaliser's output is not used

    model = Apart()
    convert_norms(model, "latent_domain_norm")
    (model(IMAGES) ** 3).sum().backward()
    assert model.early.gate.weight.grad.abs().min() > 0


def test_two_forwards_before_one_backward_give_the_gradients_of_both():
    model, _ = converted()
    gate = model.early.gate.weight
    both = (model(IMAGES) ** 3).sum() + (model(IMAGES.flip(0) * 2 + 1) ** 3).sum()
    both.backward()
    together, gate.grad = gate.grad, None
    for images in (IMAGES, IMAGES.flip(0) * 2 + 1):
        (model(images) ** 3).sum().backward()
    torch.testing.assert_close(together, gate.grad, rtol=1e-3, atol=1e-4)


def test_each_batch_has_assignments_of_its_own():
    model, _ = converted()
    twin, other = copy.deepcopy(model.eval()), IMAGES * 3 - 1
    model(other)
    assert torch.equal(model(IMAGES), twin(IMAGES))
    assert model(IMAGES[:1]).shape[0] == 1


def test_nothing_outlives_the_forward_pass():
    model, _ = converted()
    model(IMAGES)
    assert model.late.shared.found is None
    with pytest.raises(RuntimeError, match="call the model that was converted"):
        model.late(torch.randn(4, 5, 2, 3))


def test_nothing_outlives_a_forward_pass_that_fails():
    model, _ = converted()
    handle = model.late.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(IMAGES)
    handle.remove()
    with pytest.raises(RuntimeError, match="it has not run"):
        model.second(torch.randn(4, 4, 2, 3))


def test_an_interrupted_forward_pass_leaves_the_next_alone():
    model, _ = converted()
    wanted = copy.deepcopy(model)(IMAGES)
    handle = model.late.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        model(IMAGES * 3 - 1)
    handle.remove()
    torch.testing.assert_close(model(IMAGES), wanted)


def interrupt(*_):
    raise KeyboardInterrupt


def test_outside_of_the_networks_forward_the_first_layer_assigns_for_itself_only():
    model, _ = converted()
    assert model.first(IMAGES).isfinite().all()
    with pytest.raises(RuntimeError, match="not its parts"):
        model.second(torch.randn(4, 4, 2, 3))


def test_a_copied_network_shares_among_its_own_layers():
    model, _ = converted()
    twin, opposite = copy.deepcopy(model), copy.deepcopy(model)
    with torch.no_grad():
        opposite.late.weight.mul_(-1)
        opposite.early.gate.weight.mul_(-0.5)
    y = model(IMAGES)
    assert torch.equal(twin(IMAGES), y)
    assert (opposite(IMAGES) + y).abs().max() > 0.05  # its gate reached its second layer
    assert len({one.late.shared for one in (model, twin, opposite)}) == 3


def test_a_network_that_turns_positions_into_samples_is_refused_with_the_cure():
    class Flattening(TwoStages):
        def second(self, activations):
            rows = self.next(activations).permute(0, 2, 3, 1).flatten(0, 2)
            return self.late(rows[:, :, None, None])

    model = Flattening()
    convert_norms(model, "latent_domain_norm")
    with pytest.raises(ValueError, match=r"4 images.*gets 24 samples: leave it out by `sites`"):
        model(IMAGES)


def test_no_domains_are_refused():
    with pytest.raises(ValueError, match="num_clusters of latent_domain_norm must be at least 1"):
        LatentDomainNorm(3, num_clusters=0)


def test_checkpointed_blocks_are_refused_with_the_reason():
    model = timm.create_model("resnet18", num_classes=3)
    convert_norms(model, "latent_domain_norm")
    model.set_grad_checkpointing(True)
    loss = model(torch.randn(4, 3, 32, 32)).square().sum()
    with pytest.raises(RuntimeError, match="need gradient checkpointing turned off"):
        loss.backward()
