"""DANN: its losses, and who gets which gradient from them."""

import math

import dann_reference as reference
import pytest
import torch
from torch import nn

from dacbn.batch import Batch
from dacbn.methods import DANN
from dacbn.methods.dann import adversarial_strength, domain_loss
from dacbn.models import Network, mlp
from dacbn.norms import BatchNorm


class Flat(nn.Module):
    """A backbone without normalisation, so that samples do not see one another."""

    head_hidden_size = 6

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 6)

    def forward(self, images):
        """Compute features (B, 6) of images (B, 3, 2, 2)."""
        return self.layer(images.flatten(1)).tanh()


def dann(**options):
    return DANN(Network(Flat(), num_classes=3), **options)


def draw_batch(source=5, target=7):
    return Batch(
        torch.rand(source, 3, 2, 2), torch.randint(3, (source,)), torch.rand(target, 3, 2, 2)
    )


def gradients(loss, module):
    """Return the gradient of each parameter, None where there is none."""
    return torch.autograd.grad(
        loss, list(module.parameters()), allow_unused=True, retain_graph=True
    )


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 8), (9, 2), (1, 4), (4, 1), (1, 1)])
def test_losses_follow_the_equations(source, target):
    method, batch = dann(), draw_batch(source, target)
    losses = method(batch, 0.5).losses
    of_source, of_target = (
        method.network(images) for images in (batch.source_images, batch.target_images)
    )
    wanted = reference.cross_entropy(of_source.logits, batch.source_labels)
    assert losses["classification"].item() == pytest.approx(wanted, rel=1e-5)
    guesses = [method.domain_head(out.features).squeeze(1) for out in (of_source, of_target)]
    assert losses["domain"].item() == pytest.approx(
        reference.domain_cross_entropy(*guesses), rel=1e-5
    )
    assert losses.keys() == {"classification", "domain"}


def test_each_domain_weighs_the_same_whatever_its_size():
    source, target = torch.full((2, 1), 3.0), torch.full((50, 1), -1.0)
    wanted = 0.5 * (math.log1p(math.exp(3)) + math.log1p(math.exp(1)))
    assert domain_loss(source, target).item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("weight", "progress"), [(0.1, 0.3), (1.0, 1.0), (2.0, 0.05)])
def test_the_backbone_gets_the_domain_gradient_reversed_and_scaled(weight, progress):
    method, batch = dann(weight=weight), draw_batch()
    found = gradients(method(batch, progress).losses["domain"], method.network.backbone)
    source, target = (
        method.domain_head(method.network(images).features)
        for images in (batch.source_images, batch.target_images)
    )
    plain = gradients(domain_loss(source, target), method.network.backbone)
    strength = weight * math.tanh(5 * progress)
    for reversed_gradient, gradient in zip(found, plain, strict=True):
        assert gradient.abs().max() > 0
        torch.testing.assert_close(reversed_gradient, -strength * gradient)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_head_gets_the_domain_gradient_as_it_is(progress):
    method, batch = dann(weight=0.3), draw_batch()
    found = gradients(method(batch, progress).losses["domain"], method.domain_head)
    source, target = (
        method.domain_head(method.network(images).features)
        for images in (batch.source_images, batch.target_images)
    )
    plain = gradients(domain_loss(source, target), method.domain_head)
    for ours, gradient in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, gradient)
    assert max(gradient.abs().max() for gradient in plain) > 0


def test_the_domain_loss_leaves_the_classifier_and_classification_leaves_the_head():
    method = dann()
    losses = method(draw_batch(), 1.0).losses
    assert gradients(losses["domain"], method.network.classifier) == (None, None)
    assert set(gradients(losses["classification"], method.domain_head)) == {None}
    for module in (method.network.backbone, method.network.classifier):
        for gradient in gradients(losses["classification"], module):
            assert gradient.abs().max() > 0


def test_the_classification_gradient_is_not_reversed():
    method, batch = dann(), draw_batch()
    before = method(batch, 1.0).losses["classification"]
    with torch.no_grad():
        for parameter, gradient in zip(
            method.network.parameters(), gradients(before, method.network), strict=True
        ):
            parameter -= 0.05 * gradient
    assert method(batch, 1.0).losses["classification"] < before


def test_the_schedule_starts_at_zero_and_is_a_hyperbolic_tangent():
    assert adversarial_strength(0.0) == 0
    for progress in (0.01, 0.1, 0.25, 0.5, 1.0):
        assert adversarial_strength(progress) == pytest.approx(math.tanh(5 * progress))


def test_the_strength_logged_is_the_strength_used():
    metrics = dann(weight=0.2)(draw_batch(), 0.1).metrics
    assert metrics["adversarial_strength"].item() == pytest.approx(0.2 * math.tanh(0.5))


def test_metrics_are_plain_numbers_of_the_batch():
    method, batch = dann(), draw_batch(6, 4)
    with torch.no_grad():
        for parameter in method.domain_head.parameters():
            parameter.zero_()
        method.domain_head[-1].bias.fill_(1.0)  # says "target" of everything
    metrics = method(batch, 0.5).metrics
    assert metrics["domain_accuracy"].item() == 0.5
    right = method.network(batch.source_images).logits.argmax(1) == batch.source_labels
    assert metrics["source_accuracy"].item() == pytest.approx(right.float().mean().item())
    for value in metrics.values():
        assert value.ndim == 0 and not value.requires_grad


def test_the_order_of_the_target_does_not_matter():
    method, batch = dann(), draw_batch()
    other = batch._replace(target_images=batch.target_images[torch.randperm(7)])
    ours, theirs = (
        gradients(sum(method(each, 0.7).losses.values()), method) for each in (batch, other)
    )
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two)


def test_all_that_dann_learns_are_its_parameters():
    method = dann()
    count = sum(parameter.numel() for parameter in method.parameters())
    network, head = (
        sum(parameter.numel() for parameter in module.parameters())
        for module in (method.network, method.domain_head)
    )
    assert count == network + head and head > 0


@pytest.mark.parametrize("widths", [(100,), (1024, 1024), ()])
def test_the_domain_head_has_the_widths_asked_for(widths):
    method = dann(head=widths)
    linear = [layer for layer in method.domain_head if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [6, *widths]
    assert [layer.out_features for layer in linear] == [*widths, 1]
    rectified = [layer for layer in method.domain_head if isinstance(layer, nn.ReLU)]
    assert len(rectified) == len(widths)
    assert method.domain_head[-1] is linear[-1]
    assert mlp(6, widths, 1)(torch.rand(3, 6)).shape == (3, 1)


def test_the_hidden_layers_of_the_head_can_be_normalised():
    method = dann(head=(5, 4), batch_norm=True)
    kinds = [type(layer) for layer in method.domain_head]
    hidden = [nn.Linear, BatchNorm, nn.ReLU]
    assert kinds == [*hidden, *hidden, nn.Linear]
