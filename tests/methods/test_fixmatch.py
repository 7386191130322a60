"""FixMatch: which images count, as what, and where the gradient comes from."""

import pseudo_label_reference as reference
import pytest
import torch
from flat_network import flat_batch, flat_network, gradients

from dacbn.losses import pseudo_label_loss
from dacbn.methods import FixMatch


def rows(method, images):
    return method.network(images).logits.tolist()


@pytest.mark.parametrize(("source", "target"), [(5, 9), (9, 5), (1, 1)])
@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.95])
def test_losses_follow_the_paper(source, target, threshold):
    method = FixMatch(flat_network(scale=8), weight=0.7, threshold=threshold)
    batch = flat_batch(source, target)
    step = method(batch, 0.5)
    weak, strong = rows(method, batch.target_images), rows(method, batch.target_strong)
    loss, counted = reference.fixmatch(weak, strong, threshold)
    assert step.losses["pseudo_label"].item() == pytest.approx(0.7 * loss, rel=1e-5)
    assert step.metrics["confident"].item() == pytest.approx(counted)
    wanted = reference.cross_entropy(
        rows(method, batch.source_images), batch.source_labels.tolist()
    )
    assert step.losses["classification"].item() == pytest.approx(wanted, rel=1e-5)
    assert step.losses.keys() == {"classification", "pseudo_label"}
    assert FixMatch(method.network).threshold == 0.95


def test_nothing_confident_gives_zero_and_no_gradient():
    method = FixMatch(flat_network(), threshold=0.999)
    step = method(flat_batch(), 0.5)
    assert step.losses["pseudo_label"] == 0 and step.metrics["confident"] == 0
    for gradient in gradients(step.losses["pseudo_label"], method.network):
        assert gradient.abs().max() == 0


def test_only_strong_views_get_a_gradient():
    method, batch = FixMatch(flat_network(), threshold=0.0), flat_batch()
    views = [batch.source_images, batch.target_images, batch.target_strong]
    images = [view.clone().requires_grad_() for view in views]
    watched = batch._replace(
        source_images=images[0], target_images=images[1], target_strong=images[2]
    )
    loss = method(watched, 0.5).losses["pseudo_label"]
    source, weak, strong = torch.autograd.grad(loss, images, allow_unused=True)
    assert source.abs().max() == 0 and weak.abs().max() == 0 and strong.abs().max() > 0


def test_the_order_of_the_target_does_not_matter():
    method, batch, order = FixMatch(flat_network(), threshold=0.5), flat_batch(), torch.randperm(7)
    other = batch._replace(
        target_images=batch.target_images[order], target_strong=batch.target_strong[order]
    )
    for one, two in zip(
        method(batch, 0.5).losses.values(), method(other, 0.5).losses.values(), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_what_does_not_count_weighs_in_the_mean():
    logits, labels = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    all_count = pseudo_label_loss(logits, labels, torch.ones(4, dtype=torch.bool))
    one_counts = pseudo_label_loss(logits, labels, torch.arange(4) == 2)
    torch.testing.assert_close(one_counts, all_count / 4)


def test_it_asks_for_strong_views():
    assert FixMatch.wants_strong_views
