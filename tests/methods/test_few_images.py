"""Test-time adaptation to small batches: stored statistics are mixed in."""

import numpy as np
import pytest
import torch
from colour_shift import ByHand, accuracy, affine_of, draw_images, trained_network

from dacbn.methods import SAR, Tent, test_time_methods
from dacbn.models import create_network
from dacbn.norms import norms
from dacbn.norms.following import FollowsStream

FEW = (None, "ucb_norm", "alpha_batch_norm", "domain_specific_batch_norm")  # of the norms
TOO_SMALL = 1e-30  # a learning rate by which no float32 parameter moves


@pytest.fixture
def network(generator):
    torch.manual_seed(0)
    return trained_network(generator)


def mixed_logits(network, images):
    """Compute logits with statistics in which stored ones count as 16 images."""
    norm, count = network.backbone.norm, len(images)
    means = ((images - network.pixel_mean) / network.pixel_std).mean((2, 3)).double().numpy()
    moments = (
        (16 * stored.double().numpy() + count * batch) / (16 + count)
        for stored, batch in (
            (norm.running_mean, means.mean(0)),
            (norm.running_var, means.var(0, ddof=1)),
        )
    )
    mean, var = moments
    by_hand = ByHand(network, images)
    by_hand.standard = (means - mean) / np.sqrt(var + norm.eps)
    return by_hand.logits(affine_of(network))


@pytest.mark.parametrize("kind", [Tent, SAR])
@pytest.mark.parametrize("count", [2, 8, 63])
def test_stored_statistics_count_as_sixteen_images(network, generator, kind, count):
    method, ids = kind(network, lr=TOO_SMALL), torch.ones(count, dtype=torch.int64)
    for _ in range(2):  # the second batch starts from those stored too
        images, _ = draw_images(count, True, generator)
        wanted = mixed_logits(network, images)
        found = method.predict(images, ids).logits
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_large_batches_before_leave_no_trace(network, generator):
    method = Tent(network, lr=TOO_SMALL)
    few, _ = draw_images(8, True, generator)
    ids = torch.ones(64, dtype=torch.int64)
    before = method.predict(few, ids[:8]).logits
    method.predict(draw_images(64, True, generator)[0], ids)
    assert torch.equal(method.predict(few, ids[:8]).logits, before)


@pytest.mark.parametrize(
    ("norm", "adapt"),
    [
        *((norm, "tent") for norm in (None, *norms) if norm != "self_normalizing"),
        *((norm, adapt) for norm in FEW for adapt in test_time_methods if adapt != "cotta"),
    ],
)
def test_one_image_is_predicted_as_without_adaptation(norm, adapt):
    if norm is not None and issubclass(norms[norm], FollowsStream):
        pytest.skip("follows each image by its own rule")
    if adapt == "rotta" and norm in ("prediction_time_batch_norm", "alpha_batch_norm"):
        pytest.skip("RoTTA replaces it")
    torch.manual_seed(0)
    network = create_network("digits_cnn", norm, 3, classifier=(8,))
    for _ in range(2):
        network(torch.rand(12, 3, 16, 16), torch.arange(12) % 2)
    network.eval()
    image, one = torch.rand(1, 3, 16, 16), torch.ones(1, dtype=torch.int64)
    with torch.no_grad():
        wanted = network(image, one).logits
    found = test_time_methods.build(adapt, network).predict(image, one).logits
    torch.testing.assert_close(found.log_softmax(1), wanted.log_softmax(1), atol=1e-5, rtol=1e-5)


def test_one_by_one_loses_nothing_where_nothing_has_shifted(network, generator):
    images, labels = draw_images(45, False, generator)
    ids = torch.ones(1, dtype=torch.int64)
    logits = [Tent(network).predict(image[None], ids).logits for image in images]
    assert accuracy(torch.cat(logits), labels) >= accuracy(network(images).logits, labels) > 0.9


def test_a_few_images_of_one_class_are_not_centred_away(network, generator):
    images, labels = draw_images(90, False, generator)
    alike = images[labels == 0][:8]  # by their own statistics alone, they would be anything
    found = Tent(network).predict(alike, torch.ones(8, dtype=torch.int64)).logits
    assert (found.argmax(1) == 0).float().mean() > 0.8
