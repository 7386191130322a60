"""Prediction-time batch normalisation: BatchNorm that never uses what it remembers, if it can."""

import pytest
import torch
from torch import nn

from dacbn.norms import BatchNorm, PredictionTimeBatchNorm


def trained(kind, **options):
    torch.manual_seed(1)
    layer = kind(4, **options)
    for _ in range(3):
        layer(torch.randn(16, 4, 3) * 2 + 1)
    nn.init.uniform_(layer.weight, -2, 2), nn.init.uniform_(layer.bias, -2, 2)
    return layer


@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 5), (2, 4, 5, 3), (1, 4, 2)])
def test_in_training_it_is_batch_norm(shape):
    ours, theirs = trained(PredictionTimeBatchNorm), trained(BatchNorm)
    x = torch.randn(shape)
    assert torch.equal(ours(x), theirs(x))
    for value, wanted in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.equal(value, wanted)


@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 5), (2, 4, 5, 3), (1, 4, 2)])
def test_in_evaluation_it_is_batch_norm_in_training(shape):
    ours, theirs = trained(PredictionTimeBatchNorm, eps=0.1), trained(BatchNorm, eps=0.1)
    x = torch.randn(shape) * 7 - 20
    torch.testing.assert_close(ours.eval()(x), theirs(x))
    x = x.double().requires_grad_()
    assert torch.autograd.gradcheck(ours.double(), x, fast_mode=True)


def test_evaluation_undoes_a_shift_that_batch_norm_does_not():
    ours, theirs = trained(PredictionTimeBatchNorm).eval(), trained(BatchNorm).eval()
    x = torch.randn(16, 4, 3)
    shifted = 0.3 * x + 8
    torch.testing.assert_close(ours(shifted), ours(x), atol=1e-3, rtol=1e-3)
    assert (theirs(shifted) - theirs(x)).abs().max() > 1


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1), (1, 4, 1, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_single_values_are_normalised_by_what_is_known(shape, training):
    ours, theirs = trained(PredictionTimeBatchNorm), trained(BatchNorm)
    x = torch.randn(shape)
    assert torch.equal(ours.train(training)(x), theirs.eval()(x))


def test_a_trained_batch_norm_lends_its_statistics_for_those():
    theirs = nn.BatchNorm1d(4)
    theirs(torch.randn(50, 4) * 3 + 2)
    ours, x = PredictionTimeBatchNorm.from_batch_norm(theirs.eval()), torch.randn(1, 4)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_wrong_width_raises_in_evaluation_too():
    with pytest.raises(ValueError, match=r"expects \(N, 4\)"):
        PredictionTimeBatchNorm(4).eval()(torch.randn(8, 5))
