"""ADDA: its two stages, who learns in each, and what stays as it was."""

import copy

import dann_reference as reference
import pytest
import torch
from adversarial_reference import run
from flat_network import flat_batch, flat_network, gradients
from planted_shift import CENTRES

from dacbn.batch import Batch
from dacbn.methods import ADDA
from dacbn.models import Network, create_network
from dacbn.models.digits_cnn import DigitsCNN


def adda(network=None, **options):
    return ADDA(network or flat_network(), **{"head": (8,), **options})


def digits_batch(source=6, target=5):
    images = torch.rand(source + target, 3, 16, 16)
    return Batch(images[:source], torch.arange(source) % 3, images[source:])


def take_step(method, optimizer, batch, progress):
    optimizer.zero_grad(set_to_none=True)
    sum(method(batch, progress).losses.values()).backward()
    optimizer.step()


def bits(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before, after):
    return all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_first_stage_is_the_source_alone():
    method, batch = adda(), flat_batch()
    unseen = batch._replace(target_images=torch.full_like(batch.target_images, torch.nan))
    step = method(unseen, 0.49)
    wanted = reference.cross_entropy(
        method.network(batch.source_images).logits, batch.source_labels
    )
    assert step.losses["classification"].item() == pytest.approx(wanted, rel=1e-5)
    assert step.losses["domain"] == step.losses["adversarial"] == 0
    assert all(found is None for found in gradients(sum(step.losses.values()), method.domain_head))


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (1, 1)])
def test_the_losses_of_the_second_stage_follow_the_equations(source, target):
    method, batch = adda(), flat_batch(source, target)
    method(batch, 0.5)
    with torch.no_grad():
        method.network.backbone.layer.weight.add_(0.3)  # it has moved away from its copy
    step = method(batch, 0.6)
    domain = [
        torch.from_numpy(run(method.domain_head, network(images).features.detach())[:, 0])
        for network, images in (
            (method.source_network, batch.source_images),
            (method.network, batch.target_images),
        )
    ]
    wanted = reference.domain_cross_entropy(*domain)
    assert step.losses["domain"].item() == pytest.approx(wanted, rel=1e-4)
    inverted = (1 + domain[1].exp()).log().mean().item()  # the mean of -log(1 - p)
    assert step.losses["adversarial"].item() == pytest.approx(inverted, rel=1e-4)
    assert step.losses["classification"] == 0
    guessed = ((domain[0] < 0).double().mean() + (domain[1] >= 0).double().mean()) / 2
    assert step.metrics["domain_accuracy"].item() == pytest.approx(guessed.item())


def test_each_loss_moves_its_own_part():
    method = adda()
    losses = method(flat_batch(), 0.7).losses
    assert all(found is not None for found in gradients(losses["domain"], method.domain_head))
    assert all(found is None for found in gradients(losses["domain"], method.network))
    assert all(found is None for found in gradients(losses["adversarial"], method.domain_head))
    found = gradients(losses["adversarial"], method.network.backbone)
    assert all(gradient.abs().max() > 0 for gradient in found)
    found = gradients(losses["adversarial"], method.network.classifier)
    assert all(gradient is None for gradient in found)


def test_descent_makes_target_features_look_like_the_sources():
    method, batch = adda(), flat_batch()
    before = method(batch, 0.7).losses["adversarial"]
    parts = list(method.network.backbone.parameters())
    for part, gradient in zip(parts, torch.autograd.grad(before, parts), strict=True):
        part.data -= 0.1 * gradient
    domain = method.domain_head(method.network(batch.target_images).features)
    assert -torch.nn.functional.logsigmoid(-domain).mean() < before  # -log p("is source")


@pytest.mark.parametrize("norm", ["batch_norm", "ucb_norm"])
def test_the_copy_and_the_classifier_stay_to_the_bit(norm):
    method = adda(create_network("digits_cnn", norm, 3)).train()
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(2):
        take_step(method, optimizer, digits_batch(), 0.1)
    learned = bits(method.network)
    for _ in range(3):
        method.train()  # as the loop does
        take_step(method, optimizer, digits_batch(), 0.6)
    assert same(learned, bits(method.source_network))
    assert torch.equal(method.network.classifier.weight, learned["classifier.weight"])
    assert not torch.equal(
        method.network.backbone.layers[0].weight, learned["backbone.layers.0.weight"]
    )


def test_running_statistics_become_the_targets():
    method = adda(Network(DigitsCNN(), 3)).train()
    batch = digits_batch()
    batch = batch._replace(target_images=batch.target_images * 0.2)
    method(batch, 0.1)
    fresh = copy.deepcopy(method.network)
    method(batch, 0.6)
    fresh(batch.target_images)
    assert same(bits(fresh), bits(method.network))


def test_the_copy_is_taken_once_even_if_the_training_was_interrupted():
    method = adda()
    method(flat_batch(), 0.6)
    taken = bits(method.source_network)
    again = adda()
    again.load_state_dict(method.state_dict())
    with torch.no_grad():
        again.network.backbone.layer.weight.add_(1)
    again(flat_batch(), 0.7)
    assert same(taken, bits(again.source_network))


@pytest.mark.parametrize("share", [-0.2, 0, float("nan")])
def test_a_rate_that_leaves_nothing_to_learn_is_refused(share):
    with pytest.raises(ValueError, match=r"lr_share of adda must be (positive|a finite number)"):
        adda(lr_share=share)


@pytest.mark.parametrize("share", [-0.1, 1, 1.5])
def test_a_share_that_leaves_no_adaptation_is_refused(share):
    with pytest.raises(ValueError, match=r"source_share of adda must be in \[0, 1\)"):
        adda(source_share=share)


def draw(count, shifted, generator):
    """Draw three clusters in the plane, all moved together in the target."""
    labels = torch.arange(count) % 3
    points = 0.5 + 0.02 * torch.randn(count, 12, generator=generator)
    points[:, :2] += 0.1 * CENTRES[labels]
    points[:, :2] += torch.tensor([0.2, 0.0]) if shifted else 0
    return points.unflatten(1, (3, 2, 2)), labels


def target_accuracy(source_share, steps=200):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    method = ADDA(flat_network(), source_share, head=(32,))
    optimizer = torch.optim.Adam(method.parameters(), lr=0.02)
    for step in range(steps):
        source, labels = draw(30, False, generator)
        batch = Batch(source, labels, draw(30, True, generator)[0])
        take_step(method, optimizer, batch, step / steps)
    images, labels = draw(300, True, generator)
    return (method.network(images).logits.argmax(1) == labels).float().mean().item()


def test_a_shift_of_the_target_is_undone():
    assert target_accuracy(source_share=0.999) < 0.8  # the source alone
    assert target_accuracy(source_share=0.5) > 0.95
