"""M3SDA: moments of all domains, sources among themselves too."""

import discrepancy_reference as reference
import pytest
import torch
from drawn_outputs import draw_network, draw_output
from planted_shift import Plain, draw_domain

from dacbn.batch import Batch
from dacbn.methods import methods
from dacbn.methods.m3sda import M3SDA, moment_distance
from dacbn.models import Network


def draw_domains(*counts):
    """Draw features of domains that differ in mean and scale."""
    return [
        (1 + 0.3 * place) * torch.randn(count, 4, dtype=torch.float64) + 0.5 * place
        for place, count in enumerate(counts)
    ]


@pytest.mark.parametrize("sources", [1, 2, 4])
@pytest.mark.parametrize("targets", [0, 1, 2])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_loss_follows_the_equation(sources, targets, order):
    domains = draw_domains(5, 1, 8, 3, 9, 4)
    few, others = domains[:sources], domains[4 : 4 + targets]
    wanted = reference.moment_distance(few, others, order)
    assert moment_distance(few, others, order).item() == pytest.approx(wanted, rel=1e-12)


def test_the_gradient_is_that_of_the_equation():
    domains = [domain.requires_grad_() for domain in draw_domains(3, 4, 5)]
    assert torch.autograd.gradcheck(lambda *x: moment_distance(x[:2], x[2:], 3), domains)


def test_it_is_taken_of_the_features_and_weighted():
    sources, targets = [draw_output(4), draw_output(3, 0.5)], [draw_output(6, 1.0)]
    labels = torch.zeros(7, dtype=torch.int64)
    step = M3SDA(draw_network(), weight=0.5).transfer_domains(sources, targets, labels, 0.0)
    features = [[each.features for each in domains] for domains in (sources, targets)]
    wanted = 0.5 * reference.moment_distance(*features, 2)
    assert step.losses["moment_distance"].item() == pytest.approx(wanted, rel=1e-5)


def test_equal_domains_have_none_of_it_and_a_finite_gradient():
    source = torch.randn(6, 3).requires_grad_()
    copies = [source.detach().flip(0), source.detach()]
    loss = moment_distance([source, copies[0]], [copies[1]], 3)
    loss.backward()
    assert loss < 1e-5 and source.grad.isfinite().all()


def test_a_source_without_images_in_a_batch_is_left_out():
    one, two, target = draw_domains(4, 5, 6)
    found = moment_distance([one, one[:0], two], [target], 2)
    assert found == moment_distance([one, two], [target], 2)
    assert moment_distance([one, one[:0]], [], 2) == 0


def train_on_two_sources(spec, steps=150):
    """Train on a source whose cue tells the class and one whose cue lies; score on a third."""
    torch.manual_seed(0)
    method = methods.build(spec, Network(Plain(), num_classes=3, num_domains=3))
    optimizer = torch.optim.AdamW(method.parameters(), lr=5e-3)
    for step in range(steps):
        drawn = [draw_domain(24, shifted=False), draw_domain(24, shifted=False)]
        images = torch.cat([drawn[0][0], 0.5 + 1.5 * (drawn[1][0] - 0.5)])
        labels = torch.cat([labels for _, labels in drawn])
        target, _ = draw_domain(48, shifted=True)
        batch = Batch(images, labels, target, source_counts=(24, 24), target_counts=(48,))
        losses = method(batch, step / steps).losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    images, labels = draw_domain(600, shifted=True)
    with torch.no_grad():
        return (method.network(images).logits.argmax(1) == labels).float().mean().item()


def test_a_planted_shift_from_two_sources_is_undone():
    assert train_on_two_sources("m3sda") > train_on_two_sources("source_only") + 0.1
