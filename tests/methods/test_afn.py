"""AFN: features grow by a step."""

import pytest
import torch
from drawn_outputs import draw_network, draw_outputs, gradients

from dacbn.batch import Output
from dacbn.methods import AFN


@pytest.mark.parametrize(("weight", "step"), [(0.05, 1.0), (1.0, 0.3)])
def test_the_loss_is_the_squared_step_whatever_the_features(weight, step):
    losses = AFN(draw_network(), weight, step).transfer(*draw_outputs(), 0.5).losses
    assert losses["feature_norm"].item() == pytest.approx(weight * step**2, rel=1e-5)


def test_the_gradient_asks_each_feature_to_grow_along_itself():
    source, target, labels = draw_outputs(4, 6)
    loss = AFN(draw_network(), 0.1, 2.0).transfer(source, target, labels, 0.5).losses
    found = gradients(loss["feature_norm"], [source.features, target.features])
    for gradient, features in zip(found, (source.features, target.features), strict=True):
        direction = features / features.norm(dim=1, keepdim=True)
        # d/d|f| of 0.1 (|f| - r)^2 is -0.2 * step, halved between domains
        torch.testing.assert_close(gradient, -0.1 * 2.0 * direction / len(features))


def test_the_norms_are_logged():
    source, target, labels = draw_outputs()
    metrics = AFN(draw_network()).transfer(source, target, labels, 0.5).metrics
    for name, output in (("source", source), ("target", target)):
        norms = [sum(v**2 for v in row) ** 0.5 for row in output.features.tolist()]
        mean = metrics[f"{name}_feature_norm"].item()
        assert mean == pytest.approx(sum(norms) / len(norms), rel=1e-5)


def test_features_of_zero_are_left_alone():
    source, target, labels = draw_outputs()
    zero = torch.zeros_like(source.features, requires_grad=True)
    loss = AFN(draw_network()).transfer(Output(zero, source.logits), target, labels, 0.5).losses
    assert not gradients(loss["feature_norm"], [zero])[0].any()
