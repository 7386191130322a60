"""Statistics that follow the batches, follow them slowly, or are frozen."""

import copy
import pickle

import pytest
import timm
import torch
from norm_cases import run, trained
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import norms, recalibrate, set_statistics

WITHOUT_STATISTICS = {
    *("channel_layer_norm", "dynamic_tanh", "group_norm", "instance_norm"),
    *("isometric_group_norm", "layer_norm", "no_norm", "scb_norm", "scb_norm_base"),
    "self_normalizing",
}
ALWAYS_BY_BATCH = {"alpha_batch_norm", "prediction_time_batch_norm"}


def buffers(layer):
    return {name: value.clone() for name, value in layer.named_buffers()}


def moved(before, layer):
    now = dict(layer.named_buffers())
    return max(
        (float((now[n].double() - v.double()).abs().max()) for n, v in before.items()), default=0.0
    )


@pytest.mark.parametrize("name", list(norms))
def test_frozen_statistics_normalise_in_training_and_stay(name):
    layer = trained(name)
    if name in ALWAYS_BY_BATCH:
        with pytest.raises(ValueError, match="normalises by the batch in evaluation too, so"):
            set_statistics(layer, "frozen")
        return
    names = set_statistics(layer, "frozen")
    assert names == ([] if name in WITHOUT_STATISTICS else [""])
    if not names:
        return
    before, x = buffers(layer), torch.randn(8, 4) * 3 + 7
    expected = run(copy.deepcopy(layer).eval(), x)
    layer.train()
    torch.testing.assert_close(run(layer, x), expected)
    assert moved(before, layer) == 0
    run(layer, x).square().sum().backward()
    assert layer.weight.grad.abs().min() > 0


@pytest.mark.parametrize("name", list(norms))
def test_statistics_that_follow_again_do_as_if_nothing_had_been(name):
    layer = trained(name)
    twin, x = copy.deepcopy(layer), torch.randn(8, 4) * 3 + 7
    if name not in ALWAYS_BY_BATCH:
        set_statistics(layer, "frozen")
    set_statistics(layer, "slow")
    set_statistics(layer, "follow")
    assert torch.equal(run(layer, x), run(twin, x))
    assert moved(buffers(twin), layer) == 0


@pytest.mark.parametrize("name", sorted(set(norms) - WITHOUT_STATISTICS))
def test_slow_statistics_move_a_tenth_as_far(name):
    follow, x = trained(name), torch.randn(8, 4) * 3 + 7
    slow, before = copy.deepcopy(follow), buffers(follow)
    set_statistics(slow, "slow")
    run(follow, x), run(slow, x)
    counts = {key for key in before if key.endswith("num_batches_tracked")}
    before = {key: value for key, value in before.items() if key not in counts}
    assert 0 < moved(before, slow) < 0.15 * moved(before, follow)


def test_a_momentum_below_that_of_slow_stays():
    layer = nn.BatchNorm1d(3, momentum=0.001)
    set_statistics(layer, "slow")
    assert layer.momentum == 0.001
    averaging = nn.BatchNorm1d(3, momentum=None)
    set_statistics(averaging, "slow")
    assert averaging.momentum == 0.01
    set_statistics(averaging, "follow")
    assert averaging.momentum is None


@pytest.mark.parametrize("norm", [None, "ucb_norm", "domain_specific_batch_norm"])
def test_copies_and_pickles_of_a_network_stay_frozen(norm):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    if norm is not None:
        convert_norms(model, norm)
    set_statistics(model, "frozen")
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        before = buffers(one)
        run(one.train(), torch.randn(8, 4) + 5)
        assert moved(before, one) == 0


def test_a_pattern_chooses_layers():
    model = timm.create_model("test_resnet", num_classes=0)
    every = set_statistics(model, "slow")
    some = set_statistics(model, "frozen", "layer1.*")
    assert 0 < len(some) < len(every) and all(name.startswith("layer1.") for name in some)
    before = buffers(model)
    model.train()(torch.rand(4, 3, 32, 32))
    for name, value in model.named_buffers():
        layer = name.rpartition(".")[0]
        assert torch.equal(value, before[name]) == (layer in some)


def test_a_fused_layer_keeps_its_dropout():
    layer = timm.layers.BatchNormAct2d(4, drop_layer=nn.Dropout)
    set_statistics(layer, "frozen")
    layer.train()(torch.randn(4, 4, 3, 3))
    assert layer.drop.training and not layer.training


@pytest.mark.parametrize("norm", [None, "batch_norm", "ucb_norm(num_clusters=1)"])
def test_recalibration_moves_frozen_statistics_too(norm):
    model = nn.Sequential(nn.BatchNorm1d(3))
    if norm is not None:
        convert_norms(model, norm)
    set_statistics(model, "frozen")
    recalibrate(model, torch.randn(400, 3) * 2 + 7)
    mean = dict(model.named_buffers())
    mean = mean.get("0.running_mean", mean.get("0.running.mean"))
    assert (mean - 7).abs().max() < 0.5
    before = buffers(model)
    model.train()(torch.randn(8, 3))
    assert moved(before, model) == 0


def test_a_wrong_word_names_the_known_ones():
    with pytest.raises(ValueError, match="must be one of follow, slow, frozen, got 'frosty'"):
        set_statistics(nn.BatchNorm1d(3), "frosty")


def test_a_batch_norm_without_statistics_cannot_be_frozen():
    layer = nn.BatchNorm1d(3, track_running_stats=False)
    with pytest.raises(ValueError, match="normalises by the batch"):
        set_statistics(layer, "frozen")
