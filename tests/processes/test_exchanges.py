"""How often the processes of a training wait for one another in a step."""

from collections import Counter
from functools import partial

import pytest
import torch
import torch.distributed as dist

from dacbn.batch import Batch, Output
from dacbn.methods import methods
from dacbn.models import create_network, mlp
from dacbn.norms import shared_batch_norms
from dacbn.processes import Share, by_rows, sharing


@pytest.fixture
def shared():
    """A training on several processes of which there is one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    everyone = dist.group.WORLD
    try:
        with sharing(Share(0, 1, everyone, everyone, everyone)):
            yield
    finally:
        dist.destroy_process_group()


@pytest.fixture
def exchanges(monkeypatch):
    """Count the calls of torch's collectives."""
    counts = Counter()

    def counted(exchange, *args, **options):
        counts[exchange.__name__] += 1
        return exchange(*args, **options)

    for exchange in (dist.all_gather, dist.all_reduce):
        monkeypatch.setattr(dist, exchange.__name__, partial(counted, exchange))
    return counts


def step(spec):
    """Take a step of a method and return its losses."""
    torch.manual_seed(0)
    method = methods.build(spec, create_network("digits_cnn", None, 3)).train()
    images = torch.rand(2, 4, 3, 32, 32)
    batch = Batch(images[0], torch.arange(4) % 3, images[1])
    with shared_batch_norms(method):
        losses = method(batch, 0.5).losses
        sum(losses.values()).backward()
    return losses


@pytest.mark.parametrize(
    ("spec", "gathered"),
    [
        ("source_only", 1),  # features and logits together
        ("dann", 3),  # and the head's logits of all domains, and their gradient
        ("dann(batch_norm=True)", 3),
        ("cdan", 3),
        ("mdd", 3),
        ("mcd", 5),  # two heads
    ],
)
def test_what_a_network_or_head_returns_is_gathered_at_once(shared, exchanges, spec, gathered):
    step(spec)
    assert exchanges["all_gather"] == gathered


def test_a_normaliser_waits_once_forward_and_once_backward(shared, exchanges):
    step("source_only")
    assert exchanges["all_reduce"] == 2 * 2  # two BatchNorms


def test_outputs_keep_their_types_and_shapes(shared):
    def run(x):
        return Output(x[:, :, None].bfloat16(), x.double())

    x = torch.randn(3, 2)
    found = by_rows(run, x)
    assert torch.equal(found.features, x[:, :, None].bfloat16())
    assert torch.equal(found.logits, x.double())


def test_only_what_runs_on_own_rows_draws_other_random_numbers(shared):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    drawn = by_rows(torch.rand_like, torch.zeros(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(drawn, torch.rand(3))


def test_one_process_runs_each_batch_of_a_head_by_itself():
    torch.manual_seed(0)
    head = mlp(4, (5,), 2, batch_norm=True)
    batches = torch.randn(3, 4), torch.randn(2, 4)
    found = head.of_each(batches)
    assert all(torch.equal(each, head(x)) for each, x in zip(found, batches, strict=True))
