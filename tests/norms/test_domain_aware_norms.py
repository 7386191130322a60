"""What all normalisers promise that tell domains apart by ids and keep moments of each."""

import copy

import pytest
import torch

from dacbn.norms import norms

NAMES = [
    "auto_dial",
    "context_batch_norm",
    "domain_specific_batch_norm",
    "domain_specific_whitening",
    "trans_norm",
]
pytestmark = pytest.mark.parametrize("name", NAMES)


def run(layer, x, ids):
    with layer.context.bind(ids):
        return layer(x)


def seen(name, num_clusters=2):
    """Return a layer that has seen all its domains, in batches of unequal shares."""
    layer = norms[name](5, num_clusters=num_clusters)
    if name == "auto_dial":
        torch.nn.init.constant_(layer.alpha, 0.8)
    for _ in range(3):
        ids = torch.cat([torch.arange(num_clusters), torch.zeros(5, dtype=torch.int64)])
        run(layer, torch.randn(len(ids), 5, 3) + ids[:, None, None], ids)
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_domains_may_have_other_numbers(name, training):
    layer, renumbered = seen(name, 3).train(training), seen(name, 3).train(training)
    order = torch.tensor([2, 0, 1])  # domain k becomes order[k]
    for key, value in layer.state_dict().items():
        per_domain = value.ndim > 1
        mine = renumbered.state_dict()[key]
        mine[order if per_domain else ...] = value
    x, ids = torch.randn(9, 5, 4), torch.tensor([0, 0, 1, 2, 2, 2, 2, 0, 2])
    torch.testing.assert_close(run(renumbered, x, order[ids]), run(layer, x, ids))


@pytest.mark.parametrize("domain", [0, 1])
def test_a_batch_of_one_domain_leaves_the_other_alone(name, domain):
    layer, x = seen(name), torch.randn(8, 5, 3) * 4 + 7
    before = copy.deepcopy(layer.running.state_dict())
    assert run(layer, x, torch.full((8,), domain)).isfinite().all()
    for key, old in before.items():
        new = layer.running.state_dict()[key]
        assert torch.equal(new[1 - domain], old[1 - domain])
        assert not torch.equal(new[domain], old[domain])


def test_in_evaluation_a_sample_is_normalised_as_in_any_company(name):
    layer, x = seen(name).eval(), torch.randn(8, 5, 3)
    ids = torch.tensor([0, 1, 1, 1, 1, 1, 1, 1])
    together = run(layer, x, ids)
    for n in range(8):
        torch.testing.assert_close(run(layer, x[n : n + 1], ids[n : n + 1]), together[n : n + 1])
    assert not torch.allclose(together, run(layer, x, 1 - ids))


def test_a_single_value_is_normalised_by_running_statistics(name):
    layer, x = seen(name), torch.randn(6, 5)
    twin, ids = copy.deepcopy(layer).eval(), torch.tensor([1, 1, 1, 1, 1, 0])
    alone = run(layer, x, ids)[5:]
    if name in ("auto_dial", "trans_norm"):  # to the batch's other domain it listens even so
        twin.running.mean[1] = x[:5].mean(0)
        twin.running.var[1] = x[:5].var(0, correction=0)
    torch.testing.assert_close(alone, run(twin, x[5:], ids[5:]))


def test_several_sources_and_a_target_of_other_sizes_work(name):
    ids = torch.cat([torch.full((n,), k) for k, n in enumerate((64, 10, 3, 192))])
    x = (torch.randn(len(ids), 5, 2) * (1 + ids[:, None, None])).requires_grad_()
    layer = norms[name](5, num_clusters=4)
    y = run(layer, x, ids)
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    assert 0.9 < y[ids == 0].std() / y[ids == 3].std() < 1.1


def test_gradients_are_those_of_the_equations(name):
    if name == "trans_norm":
        pytest.skip("lets none through its raising, as a test of its own holds")
    layer, ids = seen(name).double(), torch.tensor([0, 1, 1, 1, 0, 1])
    x = torch.randn(6, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: run(layer, x, ids), x, fast_mode=True)


def test_it_asks_for_ids_and_says_how_to_give_them(name):
    layer = norms[name](5)
    assert layer.needs == ("cluster ids",)
    with pytest.raises(RuntimeError, match=r"network\(images, cluster_ids=ids\)"):
        layer(torch.randn(8, 5))


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (torch.zeros(8, 1, dtype=torch.int64), "flatten them"),
        (torch.zeros(8), r"\.long\(\)"),
        (torch.zeros(5, dtype=torch.int64), "5 cluster ids for 8 images"),
        (torch.arange(8) % 3, "raise num_clusters"),
        (torch.arange(8) % 2 - 1, "raise num_clusters"),
    ],
)
def test_ids_that_do_not_fit_raise_with_the_cure(name, ids, text):
    with pytest.raises(ValueError, match=text):
        run(norms[name](5), torch.randn(8, 5), ids)
