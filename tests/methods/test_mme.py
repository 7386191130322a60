"""MME: what the classifier gains from entropy, and the features from its absence."""

import minimax_entropy_reference as reference
import pytest
import torch
from ambiguous_target import accuracy_after
from flat_network import flat_batch, flat_network
from torch.autograd import grad

from dacbn.methods import MME, SourceAndTarget
from dacbn.models import CosineClassifier

DOUBLE = ("source_images", "target_images", "labelled_images")


def draw(weight=0.1, **sizes):
    """Draw a method and a batch in float64."""
    batch = flat_batch(**sizes)
    batch = batch._replace(**{name: getattr(batch, name).double() for name in DOUBLE})
    return MME(flat_network(temperature=0.05).double(), weight), batch


def features_of(method, images):
    return method.network(images).features


def test_the_classifier_has_the_equation_s_logits():
    torch.manual_seed(0)
    classifier, features = CosineClassifier(6, 3, 0.05).double(), torch.randn(5, 6).double()
    wanted = reference.cosine_logits(features, classifier.weight.detach().numpy(), 0.05)
    found = classifier(features)
    torch.testing.assert_close(found, torch.tensor(wanted))
    torch.testing.assert_close(classifier(7 * features), found)  # lengths mean nothing
    features.requires_grad_()
    assert torch.autograd.gradcheck(classifier, features)
    assert classifier.bias is None


@pytest.mark.parametrize(("source", "target", "labelled"), [(5, 7, 4), (1, 3, 6), (2, 1, 1)])
@pytest.mark.parametrize("weight", [0.1, 2.0])
def test_the_losses_follow_the_equations(source, target, labelled, weight):
    method, batch = draw(weight, source=source, target=target, labelled=labelled)
    step = method(batch, 0.5)
    of_classes = method.network.classifier.weight.detach().numpy()
    logits = [
        reference.cosine_logits(
            features_of(method, getattr(batch, name)).detach(), of_classes, 0.05
        )
        for name in DOUBLE
    ]
    labels = batch.source_labels.tolist(), batch.labelled_labels.tolist()
    wanted = reference.both(logits[0], labels[0], logits[2], labels[1])
    entropy = reference.entropy(logits[1])
    assert step.losses["classification"].item() == pytest.approx(wanted, rel=1e-9)
    assert step.losses["entropy"].item() == pytest.approx(-weight * entropy, rel=1e-9)
    assert step.metrics["target_entropy"].item() == pytest.approx(entropy, rel=1e-9)


def test_descent_raises_the_entropy_by_the_classifier_and_lowers_it_by_the_features():
    method, batch = draw(weight=0.3)
    loss = method(batch, 0.5).losses["entropy"]
    logits = method.network(batch.target_images).logits
    log_p = logits.log_softmax(1)
    plain = -(log_p.exp() * log_p).sum(1).mean()
    classifier, backbone = method.network.classifier.weight, method.network.backbone.layer.weight
    found = grad(loss, [classifier, backbone], retain_graph=True)
    of_classifier, of_features = grad(plain, [classifier, backbone])
    assert of_classifier.any() and of_features.any()
    torch.testing.assert_close(found[0], -0.3 * of_classifier)
    torch.testing.assert_close(found[1], 0.3 * of_features)


def test_without_weight_it_learns_what_source_and_target_labels_say():
    method, batch = draw(weight=0.0)
    plain = SourceAndTarget(method.network)
    parameters = list(method.network.parameters())
    ours = grad(sum(method(batch, 0.5).losses.values()), parameters)
    for found, wanted in zip(
        ours, grad(plain(batch, 0.5).losses["classification"], parameters), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_all_images_go_through_the_network_in_one_pass():
    method, batch = draw()
    batch = batch._replace(target_counts=(4, 3), labelled_counts=(1, 3))
    calls = []
    method.network.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    method(batch, 0.5)
    ((images, ids),) = calls
    wanted = [batch.source_images, batch.labelled_images, batch.target_images]
    assert torch.equal(images, torch.cat(wanted))
    assert ids.tolist() == [0] * 5 + [1] + [2] * 3 + [1] * 4 + [2] * 3


def test_another_classifier_is_refused_with_the_setting():
    with pytest.raises(ValueError, match=r"set classifier_temperature=0\.05"):
        MME(flat_network())


@pytest.mark.parametrize("flipped", [False, True])
def test_two_labels_decide_what_nothing_else_can(flipped):
    assert accuracy_after("mme", flipped) > 0.98
