"""S+T: the source and a few labelled target images, in one pass."""

import minimax_entropy_reference as reference
import pytest
import torch
from ambiguous_target import accuracy_after
from flat_network import flat_batch, flat_network

from dacbn.methods import SourceAndTarget


@pytest.mark.parametrize(("source", "labelled"), [(5, 4), (2, 9), (1, 1)])
def test_both_domains_count_the_same(source, labelled):
    method, batch = SourceAndTarget(flat_network().double()), flat_batch(source, labelled=labelled)
    images = [batch.source_images.double(), batch.labelled_images.double()]
    batch = batch._replace(source_images=images[0], labelled_images=images[1])
    step = method(batch, 0.5)
    logits = [method.network(each).logits.detach().numpy() for each in images]
    labels = [batch.source_labels.tolist(), batch.labelled_labels.tolist()]
    wanted = reference.both(logits[0], labels[0], logits[1], labels[1])
    assert step.losses.keys() == {"classification"}
    assert step.losses["classification"].item() == pytest.approx(wanted, rel=1e-12)
    shares = [(x.argmax(1) == y).mean() for x, y in zip(logits, labels, strict=True)]
    found = [step.metrics[name].item() for name in ("source_accuracy", "labelled_accuracy")]
    assert found == pytest.approx(shares)


def test_the_gradient_is_that_of_finite_differences():
    method, batch = SourceAndTarget(flat_network().double()), flat_batch()
    batch = batch._replace(
        source_images=batch.source_images.double(), labelled_images=batch.labelled_images.double()
    )
    weight = method.network.classifier.weight

    def loss(values):
        with torch.no_grad():
            weight.copy_(values)
        value = method(batch, 0.0).losses["classification"]
        return value

    start = weight.detach().clone()
    (found,) = torch.autograd.grad(loss(start), [weight])
    for place in ((0, 0), (1, 3), (2, 5)):
        step = torch.zeros_like(start)
        step[place] = 1e-6
        wanted = (loss(start + step) - loss(start - step)).item() / 2e-6
        assert found[place].item() == pytest.approx(wanted, rel=1e-6)


def test_one_pass_with_the_ids_of_both_domains_and_no_unlabelled_image():
    method = SourceAndTarget(flat_network())
    batch = flat_batch()._replace(source_counts=(2, 3), labelled_counts=(3, 1))
    batch = batch._replace(target_images=torch.full_like(batch.target_images, torch.nan))
    calls = []
    method.network.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    assert method(batch, 0.5).losses["classification"].isfinite()
    ((images, ids),) = calls
    assert torch.equal(images, torch.cat([batch.source_images, batch.labelled_images]))
    assert ids.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_a_batch_without_labelled_images_is_refused():
    batch = flat_batch()._replace(labelled_images=None, labelled_labels=None)
    with pytest.raises(ValueError, match="no labelled target images"):
        SourceAndTarget(flat_network())(batch, 0.5)


@pytest.mark.parametrize("flipped", [False, True])
def test_two_labels_decide_what_nothing_else_can(flipped):
    assert accuracy_after("source_and_target", flipped) > 0.98


@pytest.mark.parametrize("method", ["source_only", "mcc", "dann"])
def test_without_labels_one_naming_of_the_clusters_gains_what_the_other_loses(method):
    found = [accuracy_after(method, flipped) for flipped in (False, True)]
    assert sum(found) == pytest.approx(1, abs=1e-6) and min(found) < 0.6
