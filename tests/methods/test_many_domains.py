"""Methods with several sources and targets."""

import pytest
import torch
import torch.nn.functional as F

from dacbn.batch import Batch, Output, split_domains
from dacbn.methods import methods
from dacbn.methods.adda import taken_for_source
from dacbn.methods.domain_head import domain_accuracy, domain_loss, domain_losses
from dacbn.models import create_network

COUNTS = (3, 4, 2), (3, 2)
DISCREPANCIES = ("cmd", "dan", "deep_coral", "jan")


def network(norm="domain_specific_batch_norm", num_domains=5, classes=3, temperature=None):
    torch.manual_seed(0)
    options = {"num_domains": num_domains, "classifier_temperature": temperature}
    return create_network("digits_cnn", norm, classes, **options)


def batch(counts=COUNTS):
    torch.manual_seed(1)
    sizes = [sum(each) for each in counts]
    images = [torch.rand(size, 3, 32, 32) for size in (*sizes, *sizes)]
    labels = torch.arange(sizes[0]) % 3
    few = {"labelled_images": torch.rand(4, 3, 32, 32), "labelled_labels": torch.arange(4) % 3}
    few |= {"labelled_counts": (2, 2)}
    return Batch(images[0], labels, images[1], images[2], images[3], *counts, **few)


@pytest.mark.parametrize("name", sorted(methods))
@pytest.mark.parametrize("progress", [0.1, 0.9])
def test_every_method_learns_from_several_sources_and_targets(name, progress):
    temperature = methods[name].classifier_temperature
    method = methods.build(name, network(temperature=temperature)).train()
    losses = method(batch(), progress).losses
    total = sum(losses.values())
    total.backward()
    assert total.isfinite()
    assert method.network.backbone.layers[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", DISCREPANCIES)
def test_a_discrepancy_is_the_mean_over_pairs_of_a_source_and_a_target(name):
    torch.manual_seed(2)
    method = methods.build(name, network())
    source = Output(torch.randn(9, 8, dtype=torch.double), torch.randn(9, 3, dtype=torch.double))
    target = Output(torch.randn(5, 8, dtype=torch.double), torch.randn(5, 3, dtype=torch.double))
    labels = torch.arange(9) % 3
    sources, targets = split_domains(source, COUNTS[0]), split_domains(target, COUNTS[1])
    ends, expected = (0, 3, 7, 9), []
    for s, source_part in enumerate(sources):
        for target_part in targets:
            own = labels[ends[s] : ends[s + 1]]
            expected += method.transfer(source_part, target_part, own, 0.5).losses.values()
    (found,) = method.transfer_domains(sources, targets, labels, 0.5).losses.values()
    assert found.item() == pytest.approx(sum(each.item() for each in expected) / 6, rel=1e-12)


def test_the_head_of_several_domains_is_a_classifier_of_all():
    torch.manual_seed(3)
    logits = [torch.randn(count, 4, dtype=torch.double) for count in (5, 1, 3, 2)]
    expected = []
    for domain, rows in enumerate(logits):
        exponents = rows.exp()
        expected.append((-(exponents[:, domain] / exponents.sum(1)).log()).mean())
    assert domain_loss(*logits).item() == pytest.approx(sum(expected).item() / 4, rel=1e-12)
    shares = [(rows.argmax(1) == domain).double().mean() for domain, rows in enumerate(logits)]
    assert domain_accuracy(*logits).item() == pytest.approx(sum(shares).item() / 4, rel=1e-6)


def test_a_domain_without_images_in_a_batch_is_left_out():
    logits = [torch.randn(4, 3), torch.randn(0, 3), torch.randn(2, 3)]
    expected = [domain_losses(logits[0], 0).mean(), domain_losses(logits[2], 2).mean()]
    torch.testing.assert_close(domain_loss(*logits), sum(expected) / 2)
    assert domain_accuracy(*logits).isfinite()


def test_two_domains_keep_the_logit_of_is_target():
    source, target = torch.randn(4, 1), torch.randn(3, 1)
    expected = (F.softplus(source).mean() + F.softplus(-target).mean()) / 2
    torch.testing.assert_close(domain_loss(source, target), expected)


def test_features_are_taken_for_any_source():
    logits = torch.randn(6, 5, dtype=torch.double)
    expected = -logits.softmax(1)[:, :3].sum(1).log()
    torch.testing.assert_close(taken_for_source(logits, 3), expected)


@pytest.mark.parametrize("name", ["dann", "cdan", "vada", "adda"])
def test_the_head_has_an_output_for_each_domain(name):
    heads = {
        count: methods.build(name, network("batch_norm", count)).domain_head for count in (2, 5)
    }
    assert [list(heads[count].modules())[-1].out_features for count in (2, 5)] == [1, 5]


def test_each_domain_has_its_own_statistics_in_the_network():
    method = methods.build("dann", network())
    layer = next(m for m in method.network.modules() if hasattr(m, "num_clusters"))
    assert layer.num_clusters == 5
    seen = []
    layer.register_forward_hook(lambda module, *_: seen.append(module.context.ids))
    given = batch()
    method(given, 0.5)
    assert torch.equal(seen[0], torch.cat([given.source_domains, given.target_domains]))
    assert seen[0].tolist() == [0] * 3 + [1] * 4 + [2] * 2 + [3] * 3 + [4] * 2


def test_a_sum_sees_each_domain_too():
    summed = methods.build("dann + deep_coral + mcc", network())
    found = summed(batch(), 0.5).losses
    assert found.keys() == {"classification", "domain", "coral", "confusion"}
