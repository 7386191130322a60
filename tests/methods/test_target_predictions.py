"""What holds for all losses of the target's predictions alone."""

import pytest
import torch
from flat_network import flat_batch, flat_network, gradients

from dacbn.batch import Output
from dacbn.methods import methods

NAMES = ["bnm", "information_maximisation", "mcc", "minimum_entropy"]
each = pytest.mark.parametrize("name", NAMES)
HARD = {
    "one class": torch.tensor([[9.0, 0.0, -3.0]]).repeat(6, 1),
    "one image": torch.tensor([[0.3, -0.2, 0.1]]),
    "all the same": torch.zeros(6, 3),
    "certain beyond float32": 1e4 * torch.eye(3).repeat(2, 1),
    "certain of one class": torch.tensor([[1e4, 0.0, -1e4]]).repeat(6, 1),
}


def loss_of(name, logits, source=None):
    method = methods[name](flat_network())
    features = torch.zeros(len(logits), 6)
    source = torch.zeros(4, 3) if source is None else source
    outputs = Output(torch.zeros(len(source), 6), source), Output(features, logits)
    losses = method.transfer(*outputs, torch.zeros(len(source), dtype=torch.int64), 0.5).losses
    assert len(losses) == 1
    return next(iter(losses.values()))


@each
def test_the_source_and_its_size_change_nothing(name):
    logits, source = torch.randn(7, 3), torch.randn(9, 3, requires_grad=True)
    loss = loss_of(name, logits.requires_grad_(), source)
    assert torch.equal(loss, loss_of(name, logits))
    of_logits, of_source = torch.autograd.grad(loss, [logits, source], allow_unused=True)
    assert of_source is None and of_logits.abs().max() > 0


@each
def test_the_order_of_the_target_does_not_matter(name):
    logits = torch.randn(7, 3)
    torch.testing.assert_close(loss_of(name, logits), loss_of(name, logits[torch.randperm(7)]))


@each
@pytest.mark.parametrize("case", list(HARD))
def test_hard_batches_give_finite_losses_and_gradients(name, case):
    logits = HARD[case].clone().requires_grad_()
    loss = loss_of(name, logits)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()
    assert logits.grad.abs().max() <= 1


@each
def test_half_precision_logits_are_computed_with_in_float32(name):
    logits = torch.randn(8, 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(name, logits)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(name, logits.float()))


@each
def test_the_weight_multiplies(name):
    batch, network = flat_batch(), flat_network()
    one, three = (
        methods.build(f"{name}(weight={weight})", network)(batch, 0.5).losses for weight in (1, 3)
    )
    (loss,) = one.keys() - {"classification"}
    torch.testing.assert_close(three[loss], 3 * one[loss])
    torch.testing.assert_close(three["classification"], one["classification"])


@each
def test_all_of_the_network_and_nothing_else_learns_from_it(name):
    method = methods[name](flat_network())
    assert len(list(method.parameters())) == len(list(method.network.parameters()))
    losses = method(flat_batch(), 0.5).losses
    (loss,) = losses.keys() - {"classification"}
    for gradient in gradients(losses[loss], method.network):
        assert gradient.abs().max() > 0


def test_they_add_up():
    method = methods.build(" + ".join(NAMES), flat_network())
    losses = method(flat_batch(), 0.5).losses
    assert len(losses) == 1 + len(NAMES)
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("name", NAMES)
def test_certain_and_varied_predictions_are_what_it_wants(name):
    certain = 8 * torch.eye(3).repeat(4, 1)
    assert loss_of(name, certain) < loss_of(name, certain / 8)


@pytest.mark.parametrize("name", ["bnm", "information_maximisation"])
def test_one_class_for_all_is_no_way_out(name):
    varied, same = 8 * torch.eye(3).repeat(4, 1), 8 * torch.eye(3)[:1].repeat(12, 1)
    assert loss_of(name, varied) < loss_of(name, same)
