"""MCD: what the two classifiers learn, and what the features do about it."""

import adversarial_reference as reference
import pytest
import torch
import torch.nn.functional as F
from drawn_outputs import draw_network, draw_outputs, gradients

from dacbn.methods import MCD
from dacbn.methods.mcd import discrepancy


def mcd(**options):
    return MCD(draw_network(), **{"head": (8,), **options})


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (1, 4), (1, 1)])
def test_the_losses_follow_the_equations(source, target):
    method = mcd()
    source, target, labels = draw_outputs(source, target)
    losses = method.transfer(source, target, labels, 0.5).losses
    on_target = [head(target.features) for head in (method.first, method.second)]
    wanted = -reference.discrepancy(*on_target)
    assert losses["discrepancy"].item() == pytest.approx(wanted, rel=1e-4)
    picked = [
        -head(source.features).log_softmax(1)[range(len(labels)), labels].mean().item()
        for head in (method.first, method.second)
    ]
    assert losses["two_classifiers"].item() == pytest.approx(sum(picked), rel=1e-5)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_classifiers_gain_from_differing_and_features_from_agreement(weight):
    method, (source, target, labels) = mcd(weight=weight), draw_outputs()
    losses = method.transfer(source, target, labels, 0.0).losses
    plain = discrepancy(method.first(target.features), method.second(target.features))
    heads = [*method.first.parameters(), *method.second.parameters()]
    found, wanted = gradients(losses["discrepancy"], heads), gradients(plain, heads)
    for ours, gradient in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, -gradient)
    (ours,) = gradients(losses["discrepancy"], [target.features])
    (gradient,) = gradients(plain, [target.features])
    assert gradient.any()
    torch.testing.assert_close(ours, weight * gradient)  # descent lowers the discrepancy


def test_the_source_teaches_features_and_both_classifiers():
    method, (source, target, labels) = mcd(), draw_outputs()
    found = method.transfer(source, target, labels, 0.5).losses["two_classifiers"]
    plain = sum(
        F.cross_entropy(head(source.features), labels) for head in (method.first, method.second)
    )
    parts = [source.features, *method.first.parameters(), *method.second.parameters()]
    for ours, gradient in zip(gradients(found, parts), gradients(plain, parts), strict=True):
        torch.testing.assert_close(ours, gradient)


def test_the_two_classifiers_begin_differently():
    method = mcd()
    assert not torch.equal(method.first[0].weight, method.second[0].weight)


def test_classifiers_that_contradict_each_other_differ_most():
    sure = 100 * torch.eye(3)
    assert discrepancy(sure, sure).item() == 0
    assert discrepancy(sure, sure.roll(1, 0)).item() == pytest.approx(2 / 3)
