"""Which ids the normalisers of a network receive."""

import pytest
import torch

from dacbn.models import create_network
from dacbn.models.id_source import shown_ids

IDS = torch.arange(400) % 2


@pytest.fixture
def images():
    return torch.rand(400, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def received(id_source, images, training=True):
    """Run a network, and return the ids that its normalisers have read."""
    network, ids = create_network("digits_cnn", "scb_norm", 3, id_source=id_source), []
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
def test_by_default_normalisers_receive_the_domain_ids(images, training):
    assert torch.equal(received("domain", images[:8], training), IDS[:8])


def test_swapped_ids_are_right_in_training_and_exchanged_in_evaluation(images):
    assert torch.equal(received("swapped", images[:8], True), IDS[:8])
    assert torch.equal(received("swapped", images[:8], False), 1 - IDS[:8])


@pytest.mark.parametrize("num_domains", [2, 3, 4])
def test_swapped_ids_are_a_permutation_that_keeps_no_domain(images, num_domains):
    domains = torch.arange(num_domains)
    swapped = shown_ids(domains, images[:num_domains], "swapped", num_domains, False)
    assert sorted(swapped.tolist()) == domains.tolist()
    assert not (swapped == domains).any()


def test_all_layers_receive_the_same_random_id_of_an_image(images):
    ids = received("random", images[:16])
    assert torch.equal(ids, received("random", images[:16], False))
    assert 0 < ids.sum() < 16


@pytest.mark.parametrize("num_domains", [2, 4])
def test_random_ids_are_uniform_and_unrelated_to_the_domains(images, num_domains):
    domains = torch.arange(400) % num_domains
    ids = shown_ids(domains, images, "random", num_domains, True)
    assert ids.dtype == torch.int64 and ids.shape == domains.shape
    shares = ids.bincount(minlength=num_domains).double() / 400
    assert shares.tolist() == pytest.approx([1 / num_domains] * num_domains, abs=0.08)
    assert (ids == domains).double().mean() == pytest.approx(1 / num_domains, abs=0.08)


def test_the_random_id_of_an_image_does_not_depend_on_the_other_images(images):
    ids = shown_ids(IDS, images, "random", 2, True)
    order = torch.randperm(400)
    assert torch.equal(shown_ids(1 - IDS, images[order], "random", 2, False), ids[order])


def test_no_ids_stay_none(images):
    network = create_network("digits_cnn", "batch_norm", 3, id_source="random")
    assert network(torch.nn.functional.interpolate(images[:4], size=32)).logits.shape == (4, 3)


def test_an_unknown_id_source_raises():
    with pytest.raises(ValueError, match="id_source must be one of domain, random, swapped, got"):
        create_network("digits_cnn", "scb_norm", 3, id_source="shuffled")
