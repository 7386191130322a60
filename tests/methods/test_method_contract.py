"""What holds for every registered method: a new one is tested by being registered."""

import pytest
import torch

from dacbn.batch import Batch
from dacbn.methods import Method, SourceOnly, methods
from dacbn.models import Network, create_network
from dacbn.models.digits_cnn import DigitsCNN


def draw_batch(source=4, target=6, labelled=3):
    images = torch.rand(source + target, 3, 16, 16)
    return Batch(
        images[:source],
        torch.randint(5, (source,)),
        images[source:],
        torch.rand(source, 3, 16, 16),
        torch.rand(target, 3, 16, 16),
        labelled_images=torch.rand(labelled, 3, 16, 16),
        labelled_labels=torch.randint(5, (labelled,)),
    )


def build(name, norm="batch_norm"):
    """Build a method with the classifier that it needs."""
    kind = methods[name]
    temperature = kind.classifier_temperature
    return kind(create_network("digits_cnn", norm, 5, classifier_temperature=temperature))


def record_calls(network):
    """Return the list that will hold (images, cluster_ids) of each forward."""
    calls = []
    network.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    return calls


@pytest.mark.parametrize("name", list(methods))
@pytest.mark.parametrize("norm", ["batch_norm", "scb_norm", "ucb_norm"])
@pytest.mark.parametrize(("source", "target"), [(4, 6), (6, 3), (2, 1), (1, 2)])
def test_a_step_has_finite_scalar_losses_that_train(name, norm, source, target):
    method = build(name, norm)
    step = method(draw_batch(source, target), 0.5)
    assert step.losses and "classification" in step.losses
    for value in [*step.losses.values(), *step.metrics.values()]:
        assert value.ndim == 0 and value.isfinite()
    sum(step.losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


@pytest.mark.parametrize("name", list(methods))
def test_the_classifier_learns_from_the_start(name):
    method = build(name)
    sum(method(draw_batch(), 0.0).losses.values()).backward()
    assert method.network.classifier.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", list(methods))
def test_source_and_target_images_come_with_their_own_ids(name):
    method, batch = build(name), draw_batch()
    calls = record_calls(method.network)
    method(batch, 0.5)
    source = torch.cat([batch.source_images, batch.source_strong]).flatten(1)
    targets = batch.target_images, batch.target_strong, batch.labelled_images
    known = torch.cat([source, *(each.flatten(1) for each in targets)])
    assert calls
    for images, ids in calls:
        # a perturbed image is nearest to the one it was made of
        nearest = torch.cdist(images.detach().flatten(1), known).argmin(1)
        assert ids.tolist() == (nearest >= len(source)).long().tolist()


def test_both_domains_go_through_the_network_in_one_pass():
    method, batch = Method(Network(DigitsCNN(), 5)), draw_batch(4, 6)
    calls = record_calls(method.network)
    source, target = method.forward_both(batch)
    assert len(calls) == 1
    images, ids = calls[0]
    assert torch.equal(images, torch.cat([batch.source_images, batch.target_images]))
    assert ids.dtype == torch.int64 and ids.tolist() == [0] * 4 + [1] * 6
    assert source.logits.shape == (4, 5) and target.logits.shape == (6, 5)
    width = method.network.num_features
    assert source.features.shape == (4, width) and target.features.shape == (6, width)
    method.network.eval()
    source, target = method.forward_both(batch)
    torch.testing.assert_close(source.logits, method.network(batch.source_images).logits)
    torch.testing.assert_close(target.logits, method.network(batch.target_images).logits)


@pytest.mark.parametrize("name", [n for n in methods if not methods[n].takes_labelled_target])
def test_other_methods_do_not_look_at_labelled_target_images(name):
    method, batch = build(name), draw_batch()
    calls = record_calls(method.network)
    method(batch, 0.5)
    known = torch.cat([images for images, _ in calls]).flatten(1)
    assert torch.cdist(batch.labelled_images.flatten(1), known).min() > 1


def test_source_only_never_looks_at_the_target():
    method, batch = SourceOnly(create_network("digits_cnn", "ucb_norm", 5)), draw_batch()
    batch = batch._replace(
        target_images=torch.full_like(batch.target_images, torch.nan), target_strong=None
    )
    calls = record_calls(method.network)
    step = method(batch, 0.5)
    sum(step.losses.values()).backward()
    assert step.losses.keys() == {"classification"} and step.losses["classification"].isfinite()
    assert all(p.grad.isfinite().all() for p in method.parameters())
    assert all(buffer.isfinite().all() for buffer in method.buffers())
    assert len(calls) == 1 and len(calls[0][0]) == 4 and calls[0][1].tolist() == [0] * 4


def test_source_only_is_the_cross_entropy_of_the_source():
    method, batch = SourceOnly(Network(DigitsCNN(), 5)).eval(), draw_batch()
    logits = method.network(batch.source_images).logits
    picked = logits.log_softmax(1)[range(4), batch.source_labels]
    torch.testing.assert_close(method(batch, 0.0).losses["classification"], -picked.mean())


def test_a_batch_has_no_field_for_target_labels():
    assert Batch._fields == (
        "source_images",
        "source_labels",
        "target_images",
        "source_strong",
        "target_strong",
        "source_counts",
        "target_counts",
        "labelled_images",
        "labelled_labels",
        "labelled_counts",
    )
