"""AutoDIAL: domains that share moments to a learned degree."""

import auto_dial_reference as reference
import context_batch_norm_reference as moments
import numpy as np
import pytest
import torch
from torch import nn

from dacbn.norms import AutoDIAL, ContextBatchNorm

IDS = torch.tensor([1, 0, 1, 1, 2, 0, 1, 0, 1, 1])  # three, six and one samples


def run(layer, x, ids=IDS):
    with layer.context.bind(ids):
        return layer(x)


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64) * 2 + 1


def with_alpha(alpha, *sizes, **options):
    layer = AutoDIAL(*sizes, **options).double()
    nn.init.constant_(layer.alpha, alpha)
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("num_clusters", "alpha"), [(2, 0.5), (2, 0.7), (3, 0.6), (3, 1 / 3)])
@pytest.mark.parametrize("positions", [1, 6])
def test_outputs_follow_the_equation(training, num_clusters, alpha, positions):
    layer = with_alpha(alpha, 3, num_clusters, eps=0.1)
    for _ in range(2):
        run(layer, draw(10, 3, 4), IDS % num_clusters)
    x, ids = draw(10, 3, positions), (IDS % num_clusters).tolist()
    mean, var = layer.running.mean.numpy().copy(), layer.running.var.numpy().copy()
    after = moments.moved(x.numpy(), ids, mean, var, 0.1)
    if training:
        mean, var = moments.moments_in_training(x.numpy(), ids, mean, var)
    mean, var = reference.mixed_moments(mean, var, alpha)
    wanted = moments.normalised(x.numpy(), ids, mean, var, 0.1)
    found = run(layer.train(training), x, IDS % num_clusters)
    np.testing.assert_allclose(found.detach().numpy(), wanted)
    if training:  # what is kept is not mixed
        np.testing.assert_allclose(layer.running.mean.numpy(), after[0])
        np.testing.assert_allclose(layer.running.var.numpy(), after[1])


def test_the_source_has_the_published_moments():
    x, ids = draw(12, 1), torch.tensor([0] * 3 + [1] * 9)
    mean, var = reference.published_moments(x[:3].numpy(), x[3:].numpy(), 0.8)
    found = run(with_alpha(0.8, 1), x, ids)[:3].detach().numpy()
    np.testing.assert_allclose(found, (x[:3].numpy() - mean) / np.sqrt(var + 1e-5))


@pytest.mark.parametrize("num_clusters", [1, 2, 3])
def test_at_alpha_one_domains_stand_alone(num_clusters):
    layer, alone = AutoDIAL(3, num_clusters), ContextBatchNorm(3, num_clusters)
    assert layer.alpha == 1
    for training in (True, False):
        x = torch.randn(10, 3, 5)
        ids = IDS % num_clusters
        torch.testing.assert_close(
            run(layer.train(training), x, ids), run(alone.train(training), x, ids)
        )


@pytest.mark.parametrize("num_clusters", [2, 4])
def test_at_the_lowest_alpha_equal_domains_are_one_batch_norm(num_clusters):
    x, ids = draw(12, 3, 4) * 3, torch.arange(12) % num_clusters
    layer = with_alpha(1 / num_clusters, 3, num_clusters)
    torch.testing.assert_close(run(layer, x, ids), nn.BatchNorm1d(3).double()(x))


@pytest.mark.parametrize("num_clusters", [2, 3])
def test_alpha_beyond_a_border_is_alpha_at_it(num_clusters):
    x, ids = draw(12, 3, 4), torch.arange(12) % num_clusters
    for beyond, border in ((1.4, 1.0), (0.1, 1 / num_clusters)):
        layers = [with_alpha(alpha, 3, num_clusters) for alpha in (beyond, border)]
        torch.testing.assert_close(*(run(layer, x, ids) for layer in layers))


@pytest.mark.parametrize(
    ("alpha", "down", "up"), [(0.7, 1, 1), (1.0, 1, 0), (1.2, 1, 0), (0.5, 0, 1), (0.3, 0, 1)]
)
def test_a_gradient_passes_unless_it_leads_further_out(alpha, down, up):
    for sign, passes in ((1, down), (-1, up)):
        layer = with_alpha(alpha, 3)
        (sign * layer.shares()[0, 0]).backward()
        assert layer.alpha.grad == sign * passes


@pytest.mark.parametrize(("start", "end", "uphill"), [(1.0, 0.5, 1), (0.5, 1.0, -1)])
def test_descent_moves_alpha_from_border_to_border_and_stays(start, end, uphill):
    layer = with_alpha(start, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        (uphill * layer.shares()[0, 0]).backward()
        optimizer.step()
    assert layer.shares()[0, 0] == end
    assert abs(layer.alpha - end) < 0.03  # it can turn back at once


def test_alpha_is_learned_with_the_right_gradient():
    layer, x, ids = with_alpha(0.7, 2), draw(6, 2, 2).requires_grad_(), torch.arange(6) % 2

    def output(x, alpha):
        return torch.func.functional_call(layer, {"alpha": alpha}, (x,))

    alpha = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    with layer.context.bind(ids):
        assert torch.autograd.gradcheck(output, (x, alpha))


def test_an_absent_domain_takes_part_by_its_running_statistics():
    layer, x = with_alpha(0.6, 3), draw(10, 3, 4)
    layer.running.start(torch.full((3,), 4.0), torch.full((3,), 9.0))
    mean = 0.6 * x.mean((0, 2)) + 0.4 * 4
    y = run(layer, x, torch.zeros(10, dtype=torch.int64))
    spread = 0.6 * (x - mean[:, None]).square().mean((0, 2)) + 0.4 * (9 + (4 - mean) ** 2)
    wanted = (x - mean[:, None]) / (spread + 1e-5).sqrt()[:, None]
    torch.testing.assert_close(y.detach(), wanted)
    assert layer.running.mean[1].eq(4).all() and not layer.running.mean[0].eq(4).any()
