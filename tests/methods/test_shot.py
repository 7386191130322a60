"""SHOT: its pseudo-labels and losses, who learns from them, and when labels are made anew."""

import copy

import pytest
import shot_reference as reference
import torch
from flat_network import flat_network, gradients
from planted_rotation import PlaneNetwork, draw_points
from planted_shift import Plain

from dacbn.batch import Batch, TargetBatch
from dacbn.methods import SHOT, SourceOnly
from dacbn.methods.shot import label_by_centres
from dacbn.models import Network, create_network


class Target:
    """A whole target in memory."""

    cluster_id = 1

    def __init__(self, images):
        self.images = images

    def __len__(self):
        """Count."""
        return len(self.images)

    def batches(self):
        """Yield all."""
        return iter(self.images.split(5))


def shot(images, network=None, **options):
    return SHOT(network or flat_network(scale=4), Target(images), **options)


def batch_of(method, indices):
    return TargetBatch(method.target.images[indices], torch.tensor(indices))


@pytest.mark.parametrize(("count", "classes"), [(40, 3), (12, 5), (7, 6)])
def test_pseudo_labels_are_those_of_the_paper(count, classes):
    for _ in range(5):
        features, logits = torch.randn(count, 4), 3 * torch.randn(count, classes)
        found = label_by_centres(features, logits).tolist()
        assert found == reference.pseudo_labels(features, logits)


def test_one_image_is_labelled():
    for _ in range(5):
        assert label_by_centres(torch.randn(1, 4), torch.randn(1, 3)).item() in (0, 1, 2)


def test_a_class_that_has_no_labels_gets_none_in_the_second_round():
    features = torch.tensor([[1.0, 0.0], [1.0, -3.0], [-2.0, 1.0], [1.0, -3.0]])
    logits = torch.tensor([[-3, 0, -3, -2], [0, 1, 2, -2], [-2, 3, -3, -1], [0, 3, 1, 0]]).float()
    # the third image is far from the centre of its class, though not as far as from the other's
    labels = label_by_centres(features, logits)
    assert labels.tolist() == [3, 2, 2, 2] == reference.pseudo_labels(features, logits)


def test_centres_overrule_a_prediction_that_its_neighbours_contradict():
    features = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 4)
    logits = 4 * torch.eye(2)[[0, 0, 0, 1, 1, 1, 1, 1]]
    assert label_by_centres(features, logits).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_labels_go_with_their_images_in_any_order():
    features, logits, order = torch.randn(30, 4), torch.randn(30, 3), torch.randperm(30)
    labels = label_by_centres(features, logits)
    assert torch.equal(label_by_centres(features[order], logits[order]), labels[order])


@pytest.mark.parametrize("indices", [[3, 0, 11, 7], [5], [2, 2]])
def test_the_losses_follow_the_paper(indices):
    method = shot(torch.rand(13, 3, 2, 2), weight=0.3)
    step = method(batch_of(method, indices), 0.2)
    whole, images = method.target.images, method.target.images[indices]
    labels = reference.pseudo_labels(*method.network(whole))
    assert method.pseudo_labels.tolist() == labels
    wanted = reference.losses(method.network(images).logits, [labels[i] for i in indices], 0.3)
    assert step.losses["information"].item() == pytest.approx(wanted[0], rel=1e-4, abs=1e-6)
    assert step.losses["pseudo_label"].item() == pytest.approx(wanted[1], rel=1e-4)
    assert step.losses.keys() == {"information", "pseudo_label"}


def test_the_last_layer_stays_and_everything_before_it_learns():
    network = Network(Plain(), 3, classifier=(8,))
    method = shot(torch.rand(9, 3, 2, 2), network)
    loss = sum(method(batch_of(method, [0, 1, 2, 3]), 0.0).losses.values())
    assert not any(p.requires_grad for p in network.classifier[-1].parameters())
    for part in (network.backbone, network.classifier[0]):
        assert all(found.abs().max() > 0 for found in gradients(loss, part))
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.1, weight_decay=0.5)
    before = copy.deepcopy(network.classifier[-1].state_dict())
    loss.backward()
    optimizer.step()
    assert torch.equal(network.classifier[-1].weight, before["weight"])


def test_labels_are_made_at_the_start_of_each_round_and_not_between():
    method, made = shot(torch.rand(9, 3, 2, 2), rounds=4), []
    method.label_target = lambda: made.append(len(steps))
    steps = []
    for step in range(20):
        steps.append(step)
        method(batch_of(method, [0, 1]), step / 20)
    assert made == [1, 6, 11, 16]


def test_an_adaptation_that_goes_on_keeps_its_labels():
    images = torch.rand(9, 3, 2, 2)
    method = shot(images)
    method(batch_of(method, [0, 1]), 0.5)
    again = shot(images)
    again.load_state_dict(method.state_dict())
    again.label_target = None  # would fail
    again(batch_of(again, [0, 1]), 0.51)
    assert torch.equal(again.pseudo_labels, method.pseudo_labels)


@pytest.mark.parametrize("norm", ["batch_norm", "ucb_norm", "domain_specific_batch_norm"])
def test_labelling_leaves_the_network_as_it_was(norm):
    network = create_network("digits_cnn", norm, 3)
    network(torch.rand(8, 3, 16, 16), torch.arange(8) % 2)
    method = shot(torch.rand(11, 3, 16, 16), network).train()
    before = copy.deepcopy(network.state_dict())
    method.label_target()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())


def test_fewer_rounds_than_one_are_refused():
    with pytest.raises(ValueError, match="rounds of shot must be at least 1, got 0"):
        shot(torch.rand(3, 3, 2, 2), rounds=0)


def accuracy(network, points, labels):
    return (network.eval()(points).logits.argmax(1) == labels).float().mean().item()


def test_turned_clusters_are_found_again_without_the_source():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = Network(PlaneNetwork(), 3)
    method = SourceOnly(network, label_smoothing=0.1)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    for _ in range(80):
        source, labels = draw_points(32, 0, generator)
        optimizer.zero_grad()
        sum(method(Batch(source, labels, source), 0.0).losses.values()).backward()
        optimizer.step()
    points, labels = draw_points(120, 57, generator)
    assert accuracy(network, points, labels) < 0.95
    method = SHOT(network, Target(points)).train()
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, method.parameters()), lr=0.01)
    for step in range(60):
        batch = batch_of(method, torch.randperm(120, generator=generator)[:32].tolist())
        optimizer.zero_grad()
        sum(method(batch, step / 60).losses.values()).backward()
        optimizer.step()
    assert accuracy(network, points, labels) > 0.98
