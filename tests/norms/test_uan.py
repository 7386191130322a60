"""UAN: UCB-Norm with the choices of its publication."""

import pytest
import torch
from torch import nn

from dacbn.norms import UAN, UCBNorm


def pair():
    published = {"update": "hybrid", "prior_scale": True, "eps": 1e-3}
    return UAN(3, num_clusters=4), UCBNorm(3, num_clusters=4, **published)


@pytest.mark.parametrize("training", [True, False])
def test_it_is_ucb_norm_with_the_published_choices(training):
    uan, ucb = pair()
    assert str(uan).partition("(")[2] == str(ucb).partition("(")[2]
    for _ in range(3):
        x = torch.randn(8, 3, 5) * 2 + 1
        assert torch.equal(uan(x), ucb(x))
    for layer in (uan, ucb):
        layer.train(training)
    assert torch.equal(uan(x), ucb(x))
    assert uan.state_dict().keys() == ucb.state_dict().keys()


def test_gradient_moves_what_assigns_and_batches_move_what_normalises():
    layer = UAN(3)
    layer(torch.randn(8, 3, 5))
    assigning, running = layer.learned.mean.clone(), layer.running.mean.clone()
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    (layer(torch.randn(8, 3, 5) + 2) ** 3).sum().backward()
    assert torch.equal(layer.learned.mean, assigning)
    assert (layer.running.mean - running).abs().min() > 0.01
    running = layer.running.mean.clone()
    optimiser.step()
    assert torch.equal(layer.running.mean, running)
    for name in ("mean", "raw_var", "logits"):
        assert getattr(layer.learned, name).grad.abs().max() > 0


@pytest.mark.parametrize("clusters", [1, 2, 4])
def test_the_first_output_is_sqrt_k_times_the_normalised(clusters):
    y = UAN(3, clusters)(torch.randn(200, 3, 4) * 3 + 5).transpose(0, 1).flatten(1)
    assert y.mean(1).abs().max() < 0.1 * clusters**0.5
    torch.testing.assert_close(y.std(1), torch.full((3,), clusters**0.5), rtol=0.05, atol=0)


@pytest.mark.parametrize("clusters", [1, 5])
def test_the_weight_takes_back_what_the_priors_multiply(clusters):
    theirs = nn.BatchNorm1d(3)
    nn.init.constant_(theirs.weight, 2)
    ours = UAN.from_batch_norm(theirs, num_clusters=clusters)
    assert torch.equal(ours.weight, theirs.weight)  # an untrained one has no function to keep
    for _ in range(30):
        theirs(torch.randn(50, 3) * 3 + 5)
    x = torch.randn(50, 3) * 3 + 5
    ours = UAN.from_batch_norm(theirs.eval(), num_clusters=clusters)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    bare = nn.BatchNorm1d(3, affine=False)
    bare(x)
    assert UAN.from_batch_norm(bare).weight is None
