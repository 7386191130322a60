"""AdaMatch: step by step against the paper, and what its passes leave behind."""

import math

import pseudo_label_reference as reference
import pytest
import torch
from flat_network import flat_batch, flat_network, gradients

from dacbn.methods import AdaMatch
from dacbn.methods.adamatch import align_distribution, interpolate, warm_up
from dacbn.models import create_network


def adamatch(**options):
    return AdaMatch(flat_network(scale=6), **options)


def convolutional(norm):
    return AdaMatch(create_network("digits_cnn", norm, 3))


def digits(source=4, target=9):
    draw = [torch.rand(count, 3, 16, 16) for count in (source, target, source, target)]
    batch = flat_batch(source, target)
    return batch._replace(
        source_images=draw[0], target_images=draw[1], source_strong=draw[2], target_strong=draw[3]
    )


@pytest.mark.parametrize(("source", "target"), [(4, 12), (6, 3), (1, 1)])
def test_three_steps_follow_the_paper(source, target):
    method, wanted = adamatch(), reference.AdaMatch(3)
    for progress in (0.1, 0.3, 0.8):
        batch = flat_batch(source, target)
        state = torch.get_rng_state()
        step = method(batch, progress)
        torch.set_rng_state(state)
        logits = [
            method.network(images).logits.tolist()
            for images in (
                torch.cat([batch.source_images, batch.source_strong]),
                batch.target_images,
                batch.target_strong,
            )
        ]
        uniform = torch.rand(2 * source, 3).tolist()
        labels = batch.source_labels.tolist()
        # without normalisers, both passes give the same logits
        found = wanted.step(logits[0], logits[0], uniform, labels, *logits[1:], progress)
        classification, pseudo_label, confident, threshold = found
        assert step.losses["classification"].item() == pytest.approx(classification, rel=1e-5)
        assert step.losses["pseudo_label"].item() == pytest.approx(pseudo_label, rel=1e-5)
        assert step.metrics["confident"].item() == pytest.approx(confident)
        assert step.metrics["threshold"].item() == pytest.approx(threshold, rel=1e-5)
        assert method.source_mean.tolist() == pytest.approx(wanted.source_mean, rel=1e-5)
        assert method.target_means[-1].tolist() == pytest.approx(wanted.window[-1], rel=1e-5)
    assert step.losses.keys() == {"classification", "pseudo_label"}


def test_each_logit_is_drawn_between_its_two_values_and_both_get_their_share_of_gradient():
    together = torch.randn(400, 3, requires_grad=True)
    alone = torch.randn(400, 3, requires_grad=True)
    mixed = interpolate(together, alone)
    share = ((mixed - together) / (alone - together)).detach()
    assert share.min() >= -1e-3 and share.max() <= 1 + 1e-3
    assert share.std() == pytest.approx(12**-0.5, abs=0.02)
    assert torch.corrcoef(share.T)[0, 1].abs() < 0.15  # one draw a logit, not one an image
    of_together, of_alone = torch.autograd.grad(mixed.sum(), [together, alone])
    torch.testing.assert_close(of_together + of_alone, torch.ones(400, 3))
    torch.testing.assert_close(of_alone, share, rtol=0, atol=1e-2)


def test_alignment_is_per_class():
    target = torch.tensor([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3]])
    source_mean, target_mean = torch.tensor([0.2, 0.2, 0.6]), torch.tensor([0.6, 0.2, 0.2])
    wanted = target * torch.tensor([1 / 3, 1.0, 3.0])
    wanted /= wanted.sum(1, keepdim=True)
    torch.testing.assert_close(
        align_distribution(target, source_mean, target_mean), wanted, rtol=1e-4, atol=0
    )
    same = align_distribution(target, torch.full((3,), 1 / 3), torch.full((3,), 1 / 3))
    torch.testing.assert_close(same, target)


def test_a_class_that_nobody_is_taken_for_keeps_the_alignment_finite():
    target = torch.tensor([[1.0, 0.0, 0.0]]).repeat(3, 1)
    for mean in (torch.tensor([0.0, 0.5, 0.5]), torch.tensor([1.0, 0.0, 0.0])):
        aligned = align_distribution(target, mean, target.mean(0))
        torch.testing.assert_close(aligned, target)


def test_running_means_find_the_class_balance_and_relabel():
    method = adamatch()
    source = 3 * torch.eye(3)[torch.tensor([0, 1, 1, 1, 2, 2])]
    target = torch.tensor([[0.3, 0.0, -5.0]]).repeat(8, 1)
    assert method.pseudo_label(source, target)[0].tolist() == [0] * 8
    for _ in range(1500):
        labels, *_ = method.pseudo_label(source, target)
    torch.testing.assert_close(method.target_means.mean(0), target[0].softmax(0))
    torch.testing.assert_close(method.source_mean, source.softmax(1).mean(0), rtol=0, atol=0.04)
    assert labels.tolist() == [1] * 8  # all targets look the same: the source's largest class


def test_the_target_loss_rises_by_half_a_cosine_over_the_first_half():
    assert warm_up(0.0) == 0
    assert warm_up(0.25) == pytest.approx(0.5)
    assert warm_up(0.125) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    assert warm_up(0.5) == warm_up(0.7) == warm_up(1.0) == pytest.approx(1)
    metrics = adamatch(weight=3.0)(flat_batch(), 0.25).metrics
    assert metrics["pseudo_label_weight"].item() == pytest.approx(1.5)


def test_the_threshold_follows_the_sources_confidence():
    method = adamatch(threshold=0.8)
    source, target = torch.randn(5, 3), 0.1 * torch.randn(9, 3)
    _, confident, threshold = method.pseudo_label(source, target)
    assert threshold.item() == pytest.approx(0.8 * source.softmax(1).amax(1).mean().item())
    assert not confident.any()
    assert method.pseudo_label(torch.zeros(5, 3), target)[1].all()


def test_nothing_confident_gives_zero_and_no_gradient():
    method = adamatch(threshold=2.0)
    loss = method(flat_batch(), 1.0).losses["pseudo_label"]
    assert loss == 0
    assert all(gradient.abs().max() == 0 for gradient in gradients(loss, method.network))


def test_labels_get_no_gradient_and_strong_views_do():
    method, batch = adamatch(threshold=0.0), flat_batch()
    images = [view.clone().requires_grad_() for view in (batch.target_images, batch.target_strong)]
    watched = batch._replace(target_images=images[0], target_strong=images[1])
    losses = method(watched, 1.0).losses
    weak, strong = torch.autograd.grad(losses["pseudo_label"], images)
    assert weak.abs().max() == 0 and strong.abs().max() > 0


@pytest.mark.parametrize("norm", ["batch_norm", "domain_specific_batch_norm", "ucb_norm"])
def test_the_pass_of_the_source_alone_has_its_own_statistics_and_leaves_no_trace(norm):
    method, batch = convolutional(norm), digits()
    outputs = []
    method.network.register_forward_hook(lambda *call: outputs.append(call[2].logits.detach()))
    other = convolutional(norm)
    other.load_state_dict(method.state_dict())
    method(batch, 0.5)
    views = batch._replace(
        source_images=torch.cat([batch.source_images, batch.source_strong]),
        target_images=torch.cat([batch.target_images, batch.target_strong]),
    )
    together = other.forward_both(views)[0].logits
    torch.testing.assert_close(outputs[1][:8], together)
    if norm == "batch_norm":
        assert (outputs[0] - together).abs().max() > 1e-3
    found, wanted = method.network.state_dict(), other.network.state_dict()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], msg=name)


def test_gradients_flow_through_both_passes():
    method, outputs = convolutional("batch_norm"), []
    method.network.register_forward_hook(lambda *call: outputs.append(call[2].logits))
    loss = method(digits(), 0.5).losses["classification"]
    alone, together = torch.autograd.grad(loss, outputs)
    assert alone.abs().min() > 0 and together[:8].abs().min() > 0
    assert together[8:].abs().max() == 0


def test_the_order_of_the_target_does_not_matter():
    method, batch, order = adamatch(), flat_batch(), torch.randperm(7)
    other = batch._replace(
        target_images=batch.target_images[order], target_strong=batch.target_strong[order]
    )
    found = []
    for each in (batch, other):
        torch.manual_seed(1)
        found.append(torch.stack(list(method(each, 0.5).losses.values())))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)  # the running means moved on


def test_one_class_batches_have_finite_losses():
    method, batch = convolutional("ucb_norm"), digits()
    batch = batch._replace(source_labels=torch.zeros(4, dtype=torch.int64))
    for progress in (0.0, 1.0):
        losses = method(batch, progress).losses
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.grad is not None)
    assert AdaMatch.wants_strong_views
