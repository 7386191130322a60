"""What normalisers are told of an image's domain."""

import pytest
import torch

from dacbn.models import create_network
from dacbn.models.id_source import told_ids

IDS = torch.arange(400) % 2


@pytest.fixture
def images():
    return torch.rand(400, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def heard(told, images, training=True):
    """Run a network, and return the ids that its normalisers have read."""
    network, ids = create_network("digits_cnn", "scb_norm", 3, told=told), []
    for module in network.backbone.modules():
        if hasattr(module, "log_std"):
            module.register_forward_pre_hook(lambda module, _: ids.append(module.context.ids))
    with torch.no_grad():
        network.train(training)(
            torch.nn.functional.interpolate(images, size=32), IDS[: len(images)]
        )
    assert len(ids) > 1 and all(torch.equal(each, ids[0]) for each in ids)
    return ids[0]


@pytest.mark.parametrize("training", [True, False])
def test_by_default_the_domains_are_told(images, training):
    assert torch.equal(heard("domain", images[:8], training), IDS[:8])


def test_swapped_ids_are_right_in_training_and_exchanged_in_evaluation(images):
    assert torch.equal(heard("swapped", images[:8], True), IDS[:8])
    assert torch.equal(heard("swapped", images[:8], False), 1 - IDS[:8])


def test_all_layers_are_told_one_random_id_an_image(images):
    told = heard("random", images[:16])
    assert torch.equal(told, heard("random", images[:16], False))
    assert 0 < told.sum() < 16


def test_random_ids_are_even_and_unrelated_to_the_domains(images):
    told = told_ids(IDS, images, "random", True)
    assert told.dtype == torch.int64 and told.shape == IDS.shape
    assert told.double().mean() == pytest.approx(0.5, abs=0.08)
    assert (told == IDS).double().mean() == pytest.approx(0.5, abs=0.08)


def test_an_image_keeps_its_random_id_in_any_company(images):
    told = told_ids(IDS, images, "random", True)
    order = torch.randperm(400)
    assert torch.equal(told_ids(1 - IDS, images[order], "random", False), told[order])


def test_no_ids_stay_none(images):
    network = create_network("digits_cnn", "batch_norm", 3, told="random")
    assert network(torch.nn.functional.interpolate(images[:4], size=32)).logits.shape == (4, 3)


def test_another_way_to_tell_is_refused():
    with pytest.raises(ValueError, match="cluster_ids must be one of domain, random, swapped, got"):
        create_network("digits_cnn", "scb_norm", 3, told="shuffled")
