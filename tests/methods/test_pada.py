"""PADA: class weights from the target's predictions, and where they enter."""

import pytest
import torch
from flat_network import flat_batch, flat_network, gradients

from dacbn.batch import Batch, Output
from dacbn.methods import CDAN, DANN, PADA, methods
from dacbn.methods.cdan import certainty


def cross_entropies(logits, labels):
    """Compute -log p (B,), in float64."""
    p = logits.double().exp() / logits.double().exp().sum(1, keepdim=True)
    return -p[torch.arange(len(labels)), labels].log()


def build(spec, classes=3, **options):
    torch.manual_seed(3)
    return methods.build(spec, flat_network(classes, scale=5.0, **options))


def weights_by_hand(method, batch, shares, momentum):
    """Compute class weights from the target's predictions with loops, in float64."""
    logits = method.network(batch.target_images).logits.double()
    mean = torch.stack([row.softmax(0) for row in logits]).mean(0)
    shares = (1 - momentum) * shares + momentum * mean
    return shares / shares.max(), shares


@pytest.mark.parametrize("spec", ["pada(momentum=0.3)", "dann + pada(momentum=0.3)"])
def test_the_classification_loss_is_weighed_by_the_moving_mean_of_predictions(spec):
    method, shares = build(spec), torch.full((3,), 1 / 3, dtype=torch.float64)
    for _ in range(4):
        batch = flat_batch()
        weights, shares = weights_by_hand(method, batch, shares, 0.3)
        step = method(batch, 0.5)
        source = method.network(batch.source_images).logits
        wanted = (
            weights[batch.source_labels] * cross_entropies(source, batch.source_labels)
        ).mean()
        assert step.losses["classification"].item() == pytest.approx(wanted.item(), rel=1e-5)
        of_images = weights[batch.source_labels].mean().item()
        assert step.metrics["source_weight"].item() == pytest.approx(of_images, rel=1e-5)


@pytest.mark.parametrize("order", ["dann + pada(momentum=1.0)", "pada(momentum=1.0) + dann"])
def test_the_source_part_of_the_domain_loss_is_weighed(order):
    method, batch = build(order), flat_batch(5, 7)
    loss = method(batch, 0.5).losses["domain"]
    weights, _ = weights_by_hand(method, batch, torch.zeros(3, dtype=torch.float64), 1.0)
    head = method.parts["dann"].domain_head.double()
    source, target = (
        head(method.network(images).features.double())[:, 0]
        for images in (batch.source_images, batch.target_images)
    )
    of_source = (weights[batch.source_labels] * -(1 - source.sigmoid()).log()).mean()
    wanted = (of_source - target.sigmoid().log().mean()) / 2
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("entropy", [False, True])
def test_the_source_part_of_the_conditional_loss_is_weighed(entropy):
    method, batch = build(f"cdan(entropy={entropy}) + pada(momentum=1.0)"), flat_batch(5, 7)
    loss = method(batch, 0.5).losses["conditional_domain"]
    weights, _ = weights_by_hand(method, batch, torch.zeros(3, dtype=torch.float64), 1.0)
    cdan = method.parts["cdan"]
    parts = []
    for domain, images in enumerate((batch.source_images, batch.target_images)):
        output = method.network(images)
        logits = cdan.domain_head(cdan.condition(output, 1.0)).double()[:, 0]
        losses = -(logits.sigmoid() if domain else 1 - logits.sigmoid()).log()
        if entropy:
            losses = losses * certainty(output.logits).double()
        parts.append((losses * (1 if domain else weights[batch.source_labels])).mean())
    assert loss.item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-5)


def test_weights_of_several_sources_are_split_by_source():
    torch.manual_seed(3)
    network = flat_network()
    network.num_domains = 3
    method = methods.build("dann + pada(momentum=1.0)", network)
    batch = flat_batch(5, 7)._replace(source_counts=(2, 3), target_counts=(7,))
    loss = method(batch, 0.5).losses["domain"]
    weights, _ = weights_by_hand(method, batch, torch.zeros(3, dtype=torch.float64), 1.0)
    images = torch.cat([batch.source_images, batch.target_images])
    log_p = method.parts["dann"].domain_head(network(images).features).double().log_softmax(1)
    each = weights[batch.source_labels]
    wanted = (
        -(
            (each[:2] * log_p[:2, 0]).mean()
            + (each[2:] * log_p[2:5, 1]).mean()
            + log_p[5:, 2].mean()
        )
        / 3
    )
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("kind", [DANN, CDAN])
def test_weights_of_one_change_nothing_and_none_is_the_method_to_the_bit(kind):
    method, batch = kind(flat_network()), flat_batch()
    source, target = method.forward_both(batch)
    given = [source], [target], batch.source_labels, 0.5
    plain = method.transfer_domains(*given).losses
    (name,) = plain
    for weights in (None, torch.ones(5)):
        assert torch.equal(method.transfer_weighted(*given, weights).losses[name], plain[name])


def test_the_weights_have_no_gradient():
    method, batch = build("pada(momentum=1.0)"), flat_batch()
    found = gradients(method(batch, 0.5).losses["classification"], method.network)
    weights = method.weigh_source(method.forward_target(batch), batch.source_labels)
    source = method.forward_source(batch).logits
    losses = torch.nn.functional.cross_entropy(source, batch.source_labels, reduction="none")
    for ours, wanted in zip(
        found, gradients((weights * losses).mean(), method.network), strict=True
    ):
        torch.testing.assert_close(ours, wanted)


def test_classes_that_the_target_lacks_end_with_little_weight():
    method = build("pada(momentum=0.1)", classes=4)
    logits = 6 * torch.eye(4)[torch.arange(20) % 2]  # two of the four classes
    target, labels = Output(torch.zeros(20, 6), logits), torch.arange(4)
    first = method.weigh_source(target, labels)
    for _ in range(60):
        weights = method.weigh_source(target, labels)
    assert first.min() > 0.8 and weights[:2].min() > 0.99 and weights[2:].max() < 0.02


def test_a_method_in_evaluation_mode_takes_nothing_in():
    method = build("pada").eval()
    before = method.class_shares.clone()
    method(flat_batch(), 0.5)
    assert torch.equal(method.class_shares, before)


@pytest.mark.parametrize("value", [-0.1, 1.5, "a"])
def test_wrong_options_are_refused(value):
    with pytest.raises(ValueError, match="momentum of pada"):
        PADA(flat_network(), momentum=value)


def test_a_batch_of_one_image_is_enough():
    batch = Batch(torch.rand(1, 3, 2, 2), torch.tensor([2]), torch.rand(1, 3, 2, 2))
    losses = build("dann + pada")(batch, 0.1).losses
    assert all(loss.isfinite() for loss in losses.values())
