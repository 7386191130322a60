"""VADA: its five losses, and which gradient reaches what."""

import math

import dann_reference
import numpy as np
import pytest
import torch
import virtual_adversarial_reference as reference
from flat_network import flat_batch, flat_network, gradients
from scipy.special import softmax
from scipy.stats import entropy
from torch import nn

from dacbn.methods import VADA
from dacbn.methods.dann import domain_loss
from dacbn.methods.vada import to_unit
from dacbn.models import Network, create_network


class Pixels(nn.Module):
    """A backbone that passes pixels on, so that the network is a linear classifier."""

    head_hidden_size = 12

    def forward(self, images):
        """Flatten images (B, 3, 2, 2) to (B, 12)."""
        return images.flatten(1)


def linear():
    method = VADA(Network(Pixels(), 3), radius=20.0)
    with torch.no_grad():
        method.network.classifier.weight.mul_(3)
    return method


@pytest.mark.parametrize(("source", "target"), [(5, 7), (7, 2), (1, 1)])
def test_smoothness_of_a_linear_classifier_follows_the_paper(source, target):
    method, batch = linear(), flat_batch(source, target)
    state = torch.get_rng_state()
    losses = method(batch, 0.5).losses
    torch.set_rng_state(state)
    images = torch.cat([batch.source_images, batch.target_images])
    direction = torch.randn_like(images).flatten(1).double().numpy()
    weight, bias = (p.detach().double().numpy() for p in method.network.classifier.parameters())
    mean, std = (
        buffer.double().expand(3, 2, 2).flatten().numpy()
        for buffer in (method.network.pixel_mean, method.network.pixel_std)
    )
    # 12 numbers in [0, 1] instead of 3072 in [-1, 1]
    radius = 20.0 / 2 * math.sqrt(12 / 3072)
    wanted = reference.smoothness(
        images.flatten(1).double().numpy(),
        weight / std,
        bias - weight @ (mean / std),
        direction,
        radius,
    )
    found = losses["source_smoothness"].item(), losses["target_smoothness"].item()
    assert found[0] == pytest.approx(wanted[:source].mean(), rel=1e-3)
    assert found[1] == pytest.approx(0.01 * wanted[source:].mean(), rel=1e-3)


def test_the_perturbation_is_worse_than_a_random_one():
    method, batch = linear(), flat_batch(8, 8)
    images = torch.cat([batch.source_images, batch.target_images])
    logits = method.network(images).logits.detach()
    worst = method.smoothness(batch, logits)
    radius = 20.0 / 2 * math.sqrt(12 / 3072)
    for _ in range(5):
        random = method.divergence(batch, logits, radius * to_unit(torch.randn_like(images)))
        assert random.mean() < worst.mean()


def test_the_other_losses_follow_the_paper():
    method, batch = VADA(flat_network(scale=4), target_weight=0.2), flat_batch()
    step = method(batch, 0.5)
    source, target = (method.network(x) for x in (batch.source_images, batch.target_images))
    heads = [method.domain_head(output.features).squeeze(1) for output in (source, target)]
    wanted = {
        "classification": dann_reference.cross_entropy(source.logits, batch.source_labels),
        "domain": dann_reference.domain_cross_entropy(*heads),
        "entropy": 0.2
        * np.mean(entropy(softmax(target.logits.detach().double().numpy(), 1), axis=1)),
    }
    for name, value in wanted.items():
        assert step.losses[name].item() == pytest.approx(value, rel=1e-5)
    assert step.losses.keys() == {*wanted, "source_smoothness", "target_smoothness"}


def test_the_domain_gradient_is_reversed_for_the_backbone_and_plain_for_the_head():
    method, batch = VADA(flat_network(), domain_weight=0.3), flat_batch()
    loss = method(batch, 0.0).losses["domain"]
    plain = domain_loss(
        *(
            method.domain_head(method.network(images).features)
            for images in (batch.source_images, batch.target_images)
        )
    )
    for module, factor in ((method.network.backbone, -0.3), (method.domain_head, 1.0)):
        for ours, gradient in zip(gradients(loss, module), gradients(plain, module), strict=True):
            torch.testing.assert_close(ours, factor * gradient)


def test_smoothness_leaves_no_gradient_in_images_and_moves_all_of_the_network():
    method, batch = VADA(flat_network(scale=4)), flat_batch()
    batch = batch._replace(target_images=batch.target_images.requires_grad_())
    loss = method(batch, 0.5).losses["target_smoothness"]
    for gradient in gradients(loss, method.network):
        assert gradient.abs().max() > 0
    assert all(parameter.grad is None for parameter in method.parameters())
    assert set(gradients(loss, method.domain_head)) == {None}


def test_smoothness_moves_predictions_of_the_last_pass_alone():
    method, outputs = VADA(flat_network(scale=4)), []
    method.network.register_forward_hook(lambda *call: outputs.append(call[2].logits))
    losses = method(flat_batch(), 0.5).losses
    loss = losses["source_smoothness"] + losses["target_smoothness"]
    clean, probed, worst = torch.autograd.grad(loss, outputs, allow_unused=True)
    assert clean is None and probed is None and worst.abs().min() > 0


def test_the_divergence_has_the_gradient_of_the_perturbed_predictions():
    method, batch = VADA(flat_network(scale=4)), flat_batch()
    images = torch.cat([batch.source_images, batch.target_images])
    logits = method.network(images).logits
    change = 0.1 * torch.randn_like(images)
    divergence = method.divergence(batch, logits.detach(), change).sum()
    assert divergence > 0
    perturbed = method.network(images + change).logits
    # KL has the gradient q - p in the perturbed logits alone
    wanted = perturbed.softmax(1) - logits.softmax(1)
    for ours, theirs in zip(
        gradients(divergence, method.network),
        torch.autograd.grad(perturbed, list(method.network.parameters()), wanted.detach()),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("norm", ["batch_norm", "domain_specific_batch_norm", "ucb_norm"])
def test_passes_of_perturbed_images_leave_no_trace_in_statistics(norm):
    method, other = (VADA(create_network("digits_cnn", norm, 3)) for _ in range(2))
    other.load_state_dict(method.state_dict())
    batch = flat_batch()._replace(
        source_images=torch.rand(5, 3, 16, 16), target_images=torch.rand(7, 3, 16, 16)
    )
    step = method(batch, 0.5)
    sum(step.losses.values()).backward()
    other.forward_both(batch)
    found, wanted = method.network.state_dict(), other.network.state_dict()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], msg=name)


@pytest.mark.parametrize("scale", [1e-30, 1e-42, 1.0, 1e30])
def test_directions_have_length_one_however_short_they_were(scale):
    x = torch.randn(4, 3, 2, 2) * scale
    torch.testing.assert_close(to_unit(x).flatten(1).norm(dim=1), torch.ones(4))
    assert torch.equal(to_unit(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_saturated_predictions_have_finite_losses_and_gradients():
    method, batch = VADA(flat_network(scale=1e5)), flat_batch(1, 1)
    losses = method(batch, 0.5).losses
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in method.parameters())


def test_it_trains_in_bfloat16():
    method = VADA(create_network("digits_cnn", "batch_norm", 3))
    batch = flat_batch()._replace(
        source_images=torch.rand(5, 3, 16, 16), target_images=torch.rand(7, 3, 16, 16)
    )
    with torch.autocast("cpu", torch.bfloat16):
        losses = method(batch, 0.5).losses
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in method.parameters())
