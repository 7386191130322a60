"""MDD: what the adversary learns, and what the features do about it."""

import math

import adversarial_reference as reference
import pytest
import torch
import torch.nn.functional as F
from drawn_outputs import draw_network, draw_outputs, gradients

from dacbn.batch import Output
from dacbn.methods import MDD
from dacbn.methods.mdd import disagreement_loss


def mdd(**options):
    return MDD(draw_network(), **{"head": (8,), **options})


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (1, 4), (1, 1)])
@pytest.mark.parametrize("margin", [1.0, 4.0])
def test_the_loss_follows_the_equations(source, target, margin):
    method = mdd(margin=margin)
    source, target, labels = draw_outputs(source, target)
    losses = method.transfer(source, target, labels, 0.5).losses
    wanted = reference.margin_disparity(
        method.adversary(source.features),
        source.logits.argmax(1),
        method.adversary(target.features),
        target.logits.argmax(1),
        margin,
    )
    assert losses["margin_disparity"].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("weight", "progress"), [(0.1, 0.05), (1.0, 1.0)])
def test_features_get_the_gradient_reversed_and_the_adversary_as_it_is(weight, progress):
    method = mdd(weight=weight)
    source, target, labels = draw_outputs()
    found = method.transfer(source, target, labels, progress).losses["margin_disparity"]
    agree = F.cross_entropy(method.adversary(source.features), source.logits.argmax(1))
    p = method.adversary(target.features).softmax(1)
    p = p.gather(1, target.logits.argmax(1, keepdim=True))
    plain = 4 * agree - (1 - p).log().mean()
    strength = weight * math.tanh(5 * progress)
    features = [source.features, target.features]
    for ours, gradient in zip(gradients(found, features), gradients(plain, features), strict=True):
        assert gradient.any()
        torch.testing.assert_close(ours, -strength * gradient, rtol=1e-4, atol=1e-7)
    head = list(method.adversary.parameters())
    for ours, gradient in zip(gradients(found, head), gradients(plain, head), strict=True):
        torch.testing.assert_close(ours, gradient, rtol=1e-4, atol=1e-6)


def test_the_classifier_predicts_and_labels_do_not_matter():
    method, (source, target, labels) = mdd(), draw_outputs()
    one, two = (method.transfer(source, target, each, 0.5).losses for each in (labels, 2 - labels))
    assert torch.equal(one["margin_disparity"], two["margin_disparity"])


def test_a_sure_adversary_has_a_finite_loss():
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = disagreement_loss(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(200 - math.log(2), rel=1e-6)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[1.0, -0.5, -0.5]]))
    assert disagreement_loss(logits, torch.tensor([1])).item() == pytest.approx(0, abs=1e-6)


def test_agreements_are_logged():
    method, (source, target, labels) = mdd(), draw_outputs()
    with torch.no_grad():
        same = Output(source.features, method.adversary(source.features))
        other = Output(target.features, -method.adversary(target.features))
    metrics = method.transfer(same, other, labels, 0.5).metrics
    assert metrics["source_agreement"] == 1 and metrics["target_agreement"] == 0
