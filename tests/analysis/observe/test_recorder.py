"""What is recorded is what passed through the layers, and the network is left as it was."""

import pytest
import timm
import torch
from planted_activations import BRIGHT, DARK, OneNorm, flat_images, planted_subject, two_modes
from timm.layers import LayerNorm2d
from torch import nn

from dacbn.analysis.observe.recorder import find_normalisers, record
from dacbn.analysis.observe.recording import count_bytes
from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import TensorImages
from dacbn.norms import ModeNorm, Norm, SCBNorm


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_left_as_it_was(network, before):
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_positions_are_those_of_the_images_they_came_from():
    subject = planted_subject([DARK, BRIGHT, 100], [10, 20], two_modes())
    recording = record(subject)
    for domain, activations in recording.layers["norm"].items():
        pixels = subject.samples[domain].images.pixels[recording.images[domain]] / 255
        assert activations.inputs.shape == (len(pixels), 16, 3)
        assert torch.allclose(activations.inputs, pixels.flatten(2).mT)
        assert torch.allclose(activations.pooled_inputs, pixels.mean((2, 3)))
        expected = subject.network.norm.eval()(pixels)
        assert torch.allclose(activations.outputs, expected.flatten(2).mT, atol=1e-6)
        assert torch.allclose(activations.pooled_outputs, expected.mean((2, 3)), atol=1e-6)


def test_the_positions_of_inputs_and_outputs_are_the_same_ones():
    images = TensorImages(torch.randint(0, 256, (5, 3, 12, 12), dtype=torch.uint8))
    network = OneNorm(nn.BatchNorm2d(3).eval())
    subject = Subject("plain", network, {"source": Sample(images, 0)}, ("a",))
    activations = record(subject).layers["norm"]["source"]
    assert activations.inputs.shape == (5, 64, 3)
    scale = (1 + network.norm.eps) ** -0.5
    assert torch.allclose(activations.outputs, activations.inputs * scale, atol=1e-6)
    values = (images.pixels / 255).flatten(2)
    assert torch.isin(activations.inputs[0], values).all()


def test_the_choice_of_images_has_a_seed_and_no_image_comes_twice():
    subject = planted_subject(list(range(200)), list(range(30)))
    first, again, other = (record(subject, images=50, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.images["source"], again.images["source"])
    assert not torch.equal(first.images["source"], other.images["source"])
    assert len(first.images["source"].unique()) == 50 and len(first.images["target"]) == 30


def test_only_the_chosen_images_are_fetched():
    class Counting:
        size, fetched = 4, 0

        def __len__(self):
            return 100_000

        def gather(self, indices):
            self.fetched += len(indices)
            return torch.zeros(len(indices), 3, 4, 4, dtype=torch.uint8)

    images = Counting()
    subject = Subject("large", OneNorm(two_modes()), {"source": Sample(images, 0)}, ("a",))
    record(subject, images=70)
    assert images.fetched <= 72


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training):
    subject = planted_subject([DARK, BRIGHT], [DARK, BRIGHT])
    network = subject.network.train(training)
    network.head.train(not training)
    before = state_of(network)
    record(subject)
    assert_left_as_it_was(network, before)
    assert network.training is training and network.head.training is not training


def test_a_norm_that_remembers_even_in_evaluation_forgets_what_was_recorded():
    class Counts(Norm):
        def __init__(self):
            super().__init__(3)
            self.register_buffer("seen", torch.tensor(0))

        def normalise(self, x):
            self.seen += len(x)
            return x

    subject = planted_subject([DARK] * 3, [BRIGHT] * 3, Counts())
    record(subject)
    assert subject.network.norm.seen == 0


def test_hooks_are_removed_when_the_network_fails():
    class Fails(OneNorm):
        def forward(self, images):
            super().forward(images)
            if len(images) > 2:
                raise RuntimeError("no more")

    network = Fails(two_modes()).train()
    subject = Subject("fails", network, {"source": Sample(flat_images([1] * 9), 0)}, ("a",))
    before = state_of(network)
    with pytest.raises(RuntimeError, match="no more"):
        record(subject)
    assert_left_as_it_was(network, before)
    assert network.training and network.norm.training


@pytest.mark.parametrize("budget", [3000, 20_000, 100_000])
def test_a_recording_fits_its_budget_and_uses_most_of_it(budget):
    subject = planted_subject([1] * 300, [2] * 300, two_modes("channel"), side=8)
    recording = record(subject, budget=budget)
    domains = recording.layers["norm"].values()
    used = sum(count_bytes(activations) for activations in domains)
    assert budget / 3 < used <= budget


def test_a_budget_for_less_than_two_images_is_refused():
    with pytest.raises(ValueError, match="does not fit 100 bytes: raise budget"):
        record(planted_subject([1, 2], [1, 2]), budget=100)


def test_cluster_ids_reach_the_layers_that_need_them():
    class Knows(OneNorm):
        def forward(self, images, cluster_ids=None):
            with self.norm.context.bind(cluster_ids):
                return super().forward(images)

    norm = SCBNorm(3, 2)
    with torch.no_grad():
        norm.mean.copy_(torch.tensor([[0.0], [5.0]]).expand(2, 3))
        norm.log_std.zero_()
    samples = {"source": Sample(flat_images([0]), 0), "target": Sample(flat_images([0]), 1)}
    layer = record(Subject("ids", Knows(norm), samples, ("a",))).layers["norm"]
    assert layer["source"].outputs.abs().max() < 1e-6
    assert (layer["target"].outputs < -4.9).all()


@pytest.mark.parametrize(
    ("module", "shape", "axis"),
    [
        (nn.LayerNorm(6), (5, 6), 1),
        (nn.LayerNorm(6), (3, 4, 6), 2),
        (LayerNorm2d(6), (6, 6, 6), 0),
        (nn.GroupNorm(2, 6), (6, 4, 4), 0),
        (nn.BatchNorm1d(6), (6,), 0),
        (nn.BatchNorm3d(6), (6, 2, 2, 2), 0),
    ],
    ids=["tokens", "channels last", "LayerNorm2d", "GroupNorm", "2-D", "5-D"],
)
def test_channels_are_found_in_every_layout(module, shape, axis):
    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = module

        def forward(self, images):
            channel = torch.arange(6.0).view(
                [6 if each == axis else 1 for each in range(len(shape))]
            )
            return self.norm(channel.expand(len(images), *shape))

    subject = Subject("any", Gives(), {"source": Sample(flat_images([1, 2]), 0)}, ("a",))
    inputs = record(subject).layers["norm"]["source"].inputs
    assert torch.equal(inputs, torch.arange(6.0).expand_as(inputs))


def test_a_plain_timm_network_is_recorded_in_the_order_of_running():
    network = timm.create_model("resnet18", num_classes=2).train()
    subject = Subject(
        "resnet", network, {"source": Sample(flat_images([9] * 3, 32), 0)}, ("a", "b")
    )
    recording = record(subject)
    assert len(recording.layers) == 20 and not recording.mixtures and not recording.left_out
    names = list(recording.layers)
    assert names[0] == "bn1" and names[-1] == "layer4.1.bn2"
    assert recording.layers["bn1"]["source"].inputs.shape == (3, 64, 64)
    assert recording.layers["bn1"]["source"].assigned is None


def test_an_unknown_pattern_lists_the_layers():
    with pytest.raises(ValueError, match=r"no normaliser is named like 'x\*'; there are: norm$"):
        record(planted_subject([1], [1]), layers="x*")
    with pytest.raises(ValueError, match="Linear has no normaliser"):
        find_normalisers(nn.Linear(1, 1))


def test_no_images_are_refused():
    empty = Sample(TensorImages(torch.zeros(0, 3, 4, 4, dtype=torch.uint8)), 0)
    for samples in ({}, {"source": empty}):
        with pytest.raises(ValueError, match="there are no images to record"):
            record(Subject("none", OneNorm(two_modes()), samples, ("a",)))


def test_a_gate_that_assigns_is_asked_for_its_own_assignments():
    norm = ModeNorm(3, 2)
    with torch.no_grad():
        norm.gate.weight.copy_(torch.tensor([[30.0] * 3, [-30.0] * 3]))
        norm.gate.bias.copy_(torch.tensor([-45.0, 45.0]))
    recording = record(planted_subject([DARK, BRIGHT], [BRIGHT], norm))
    bright = recording.images["source"] == 1
    soft = recording.layers["norm"]["source"].assigned.soft[:, 0]
    assert torch.equal(soft.argmax(1) == 0, bright)
