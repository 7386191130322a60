"""OSBP: its losses, who learns what from them, and the output for unknown classes."""

import math

import pytest
import torch
from flat_network import flat_batch, flat_network, gradients

from dacbn.methods import OSBP, methods
from dacbn.methods.osbp import boundary_loss
from dacbn.models import create_network


def osbp(scale=3.0, **options):
    return OSBP(flat_network(scale=scale), **options)


def loss_by_hand(logits, t):
    """Compute the binary cross-entropy from probabilities in float64, image by image."""
    losses = []
    for row in logits.double().tolist():
        exps = [math.exp(z) for z in row]
        p = exps[-1] / sum(exps)
        losses.append(-t * math.log(p) - (1 - t) * math.log(1 - p))
    return sum(losses) / len(losses)


def logits_by_hand(method, images):
    """Compute the C + 1 logits of images."""
    network = method.network
    features = network.backbone((images - network.pixel_mean) / network.pixel_std)
    return torch.cat([network.classifier(features), network.unknown(features)], 1)


@pytest.mark.parametrize("t", [0.5, 0.2, 0.9])
def test_losses_follow_the_equations(t):
    method, batch = osbp(boundary=t), flat_batch()
    losses = method(batch, 0.5).losses
    assert losses.keys() == {"classification", "open_set"}
    log_p = logits_by_hand(method, batch.source_images).double().log_softmax(1)
    wanted = -log_p[range(5), batch.source_labels].mean().item()
    assert losses["classification"].item() == pytest.approx(wanted, rel=1e-5)
    wanted = loss_by_hand(logits_by_hand(method, batch.target_images).detach(), t)
    assert losses["open_set"].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_the_features_get_the_gradient_reversed_and_the_classifier_as_it_is(weight):
    method, batch = osbp(weight=weight), flat_batch()
    network = method.network
    loss = method(batch, 0.5).losses["open_set"]
    plain = boundary_loss(logits_by_hand(method, batch.target_images), 0.5)
    for module in (network.backbone, network.classifier, network.unknown):
        factor = -weight if module is network.backbone else 1
        for ours, wanted in zip(gradients(loss, module), gradients(plain, module), strict=True):
            assert wanted.abs().max() > 0
            torch.testing.assert_close(ours, factor * wanted)


def test_the_loss_has_the_gradient_of_its_values():
    logits = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: boundary_loss(z, 0.3), logits)


@pytest.mark.parametrize("t", [0.5, 0.2])
def test_the_loss_is_least_where_the_probability_is_the_boundary(t):
    unknown = torch.linspace(-4, 4, 801)[:, None]
    losses = [boundary_loss(torch.cat([torch.zeros(1, 1), z[None]], 1), t) for z in unknown]
    best = unknown[int(torch.stack(losses).argmin())].sigmoid().item()
    assert best == pytest.approx(t, abs=0.003)


@pytest.mark.parametrize("logits", [[[1e4, 0.0, -1e4]], [[0.0, 0.0, 1e4]], [[0.0, 0.0, 0.0]]])
def test_extreme_logits_give_finite_losses_and_gradients(logits):
    logits = torch.tensor(logits, requires_grad=True)
    loss = boundary_loss(logits, 0.5)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_the_statistics_of_the_classifier_move_once_in_a_step():
    images, ids = torch.rand(10, 3, 32, 32), torch.tensor([0] * 5 + [1] * 5)
    batch = flat_batch()._replace(
        source_images=images[:5], target_images=images[5:], source_strong=None, target_strong=None
    )
    torch.manual_seed(0)
    network = create_network("digits_cnn", "batch_norm", 3, classifier=(8,))
    torch.manual_seed(0)
    again = create_network("digits_cnn", "batch_norm", 3, classifier=(8,))
    OSBP(network)(batch, 0.5)
    again(images, ids)
    found, wanted = dict(network.classifier.named_buffers()), again.classifier.named_buffers()
    moved = [name for name, _ in wanted if "running_mean" in name]
    assert moved
    for name in moved:
        torch.testing.assert_close(found[name], dict(again.classifier.named_buffers())[name])


def test_it_has_a_forward_pass_of_its_own_and_is_in_no_sum():
    with pytest.raises(ValueError, match="osbp defines its own forward pass"):
        methods.build("osbp + mcc", flat_network())


@pytest.mark.parametrize("option", ["boundary=0.0", "boundary=1.0", "weight=-1.0"])
def test_wrong_options_are_refused(option):
    with pytest.raises(ValueError, match=r"of osbp must be"):
        methods.build(f"osbp({option})", flat_network())


def test_a_planted_unknown_group_is_told_from_the_known_ones():
    generator = torch.Generator().manual_seed(0)
    means = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.9, 0.9]])  # the third is unknown

    def draw(groups):
        images = torch.full((len(groups), 3, 2, 2), 0.5)
        images[:, 0, 0] = means[groups] + 0.08 * torch.randn(len(groups), 2, generator=generator)
        return images

    torch.manual_seed(0)
    method = OSBP(flat_network(2), weight=0.1)
    optimizer = torch.optim.Adam(method.parameters(), 0.01)
    for _ in range(300):
        labels = torch.randint(2, (32,), generator=generator)
        target = torch.randint(3, (32,), generator=generator)
        batch = flat_batch()._replace(
            source_images=draw(labels), source_labels=labels, target_images=draw(target)
        )
        optimizer.zero_grad()
        sum(method(batch, 0.5).losses.values()).backward()
        optimizer.step()
    groups = torch.arange(300) % 3
    answers = logits_by_hand(method, draw(groups)).argmax(1)
    right = torch.stack([(answers[groups == group] == group).float().mean() for group in range(3)])
    assert right[:2].min() > 0.95 and right[2] > 0.6
