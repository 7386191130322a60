"""CDAN and CDAN+E: what the domain head is told, and who gets which gradient from it."""

import math

import adversarial_reference as reference
import pytest
import torch
from drawn_outputs import NUM_FEATURES, draw_network, draw_outputs, gradients
from torch import nn

from dacbn.batch import Output
from dacbn.methods import CDAN
from dacbn.methods.cdan import certainty, random_map


def cdan(**options):
    return CDAN(draw_network(), **{"head": (8, 4), **options})


@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (1, 4), (1, 1)])
def test_the_loss_follows_the_equations(entropy, source, target):
    method = cdan(entropy=entropy)
    source, target, labels = draw_outputs(source, target)
    losses = method.transfer(source, target, labels, 0.5).losses
    wanted = reference.conditional_domain(method.domain_head, source, target, entropy)
    assert losses["conditional_domain"].item() == pytest.approx(wanted, rel=1e-5)
    assert losses.keys() == {"conditional_domain"}


@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize(("weight", "progress"), [(1.0, 0.05), (0.3, 1.0)])
def test_features_get_the_gradient_reversed_and_the_head_as_it_is(entropy, weight, progress):
    method = cdan(weight=weight, entropy=entropy)
    source, target, labels = draw_outputs()
    found = method.transfer(source, target, labels, progress).losses["conditional_domain"]
    domains = []
    for output, sign in ((source, 1), (target, -1)):
        predictions = output.logits.detach().softmax(1)
        joint = torch.einsum("bc,bd->bcd", predictions, output.features).flatten(1)
        losses = nn.functional.softplus(sign * method.domain_head(joint).squeeze(1))
        weights = certainty(output.logits.detach()) if entropy else torch.ones(len(losses))
        domains.append((losses * weights).mean())
    plain = sum(domains) / 2
    strength = weight * math.tanh(5 * progress)
    features = [source.features, target.features]
    for ours, gradient in zip(gradients(found, features), gradients(plain, features), strict=True):
        torch.testing.assert_close(ours, -strength * gradient, rtol=1e-4, atol=1e-8)
    head = list(method.domain_head.parameters())
    for ours, gradient in zip(gradients(found, head), gradients(plain, head), strict=True):
        torch.testing.assert_close(ours, gradient, rtol=1e-4, atol=1e-7)


def test_certain_predictions_count_up_to_twice_as_much():
    logits = torch.tensor([[50.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    weights = certainty(logits)
    assert weights.mean().item() == pytest.approx(1)
    ratio = (weights[0] / weights[1]).item()
    assert ratio == pytest.approx(2 / (1 + 1 / 3), rel=1e-5)  # exp(-log 3) = 1/3
    assert weights[1] < weights[2] < weights[0]


def test_a_head_that_is_told_the_prediction_sees_classes_change_places():
    """Features and predictions are alike in both domains, but paired the other way round."""
    method = cdan(head=(16,), weight=0.0)
    side = torch.tensor([1.0, -1.0]).repeat(20)[:, None]
    logits = 3 * torch.cat([side, -side, torch.full_like(side, -9)], 1)
    source = Output(side.expand(-1, NUM_FEATURES), logits)
    target = Output(-side.expand(-1, NUM_FEATURES), logits)
    optimizer = torch.optim.Adam(method.domain_head.parameters(), lr=0.02)
    for _ in range(60):
        step = method.transfer(source, target, torch.zeros(40), 1.0)
        optimizer.zero_grad()
        step.losses["conditional_domain"].backward()
        optimizer.step()
    assert step.metrics["domain_accuracy"] == 1


def test_a_large_outer_product_is_projected_at_random_once(monkeypatch):
    monkeypatch.setattr("dacbn.methods.cdan.LARGEST_MAP", 3 * NUM_FEATURES - 1)
    method, outputs = cdan(projections=32), draw_outputs()
    assert method.domain_head[0].in_features == 32
    assert method.state_dict()["feature_map"].shape == (NUM_FEATURES, 32)
    assert method.state_dict()["prediction_map"].shape == (3, 32)
    one, two = (method.transfer(*outputs, 1.0).losses for _ in range(2))
    assert torch.equal(one["conditional_domain"], two["conditional_domain"])
    found = gradients(one["conditional_domain"], [*outputs[0], *outputs[1]])
    assert [g is not None for g in found] == [True, False, True, False]
    assert {"feature_map", "prediction_map"}.isdisjoint(dict(method.named_parameters()))


def test_up_to_4096_entries_the_product_is_exact():
    assert not cdan().random and cdan().domain_head[0].in_features == 3 * NUM_FEATURES
    assert "feature_map" not in cdan().state_dict()


def test_projections_keep_the_inner_products_of_outer_products():
    f, g, d = torch.randn(2, 5), torch.rand(2, 3), 100_000
    projected = random_map(f, g, torch.randn(5, d), torch.randn(3, d))
    wanted = (f[0] @ f[1] * (g[0] @ g[1])).item()
    assert (projected[0] @ projected[1]).item() == pytest.approx(wanted, abs=0.1)
    assert (projected[0] @ projected[0]).item() == pytest.approx(
        (f[0] @ f[0] * (g[0] @ g[0])).item(), rel=0.05
    )


def test_metrics_are_of_the_batch():
    method = cdan(weight=0.2)
    with torch.no_grad():
        for parameter in method.domain_head.parameters():
            parameter.zero_()
        method.domain_head[-1].bias.fill_(1.0)  # says "target" of everything
    metrics = method.transfer(*draw_outputs(6, 4), 0.1).metrics
    assert metrics["domain_accuracy"].item() == 0.5
    assert metrics["adversarial_strength"].item() == pytest.approx(0.2 * math.tanh(0.5))
