"""Normalisers become BatchNorms of torch where they are affine maps per channel."""

import copy

import pytest
import torch
from norm_cases import run
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dacbn.models import convert_norms, create_network
from dacbn.norms import NoChannelMapError, fold, norms

FOLDS = {
    *("auto_dial", "batch_norm", "context_batch_norm", "domain_specific_batch_norm"),
    *("kalman_norm", "lp_batch_norm", "mean_only_batch_norm", "no_norm", "scb_norm"),
    *("robust_batch_norm", "scb_norm_base", "self_normalizing", "trans_norm"),
}
# Options with which the others do, and with which they do not.
ALSO = [
    *((name, {"num_clusters": 1}) for name in ("latent_domain_norm", "mixture_norm", "mode_norm")),
    *((name, {"num_clusters": 1}) for name in ("random_gate_norm", "frozen_gate_norm", "uan")),
    *(("ucb_norm", {"num_clusters": 1, "update": how}) for how in ("em", "learned", "hybrid")),
    ("ucb_norm", {"num_clusters": 1, "assign": "sample", "prior_scale": True}),
    ("context_batch_norm", {"prior_scale": True, "num_clusters": 3}),
    ("domain_specific_whitening", {"group_size": 1, "shrinkage": 0.2}),
    ("domain_specific_batch_norm", {"affine": False}),
    ("ibn_norm", {"ratio": 0}),
    ("lp_batch_norm", {"p": "inf"}),
    ("no_norm", {"affine": False, "eps": 0.1}),
]
FEW = {"stream_ucb_norm": {"num_clusters": 3}}  # components, so that six samples part them
CASES = [*((name, FEW.get(name, {})) for name in norms), *ALSO]
FOLDED = [case for case in CASES if case in ALSO or case[0] in FOLDS]
REFUSED = [case for case in CASES if case not in FOLDED]
SHAPE = (6, 8, 3, 2)


def seen(name, options, dtype=torch.float32):
    """Return a layer in evaluation that has seen two unlike domains, with parameters of its own."""
    torch.manual_seed(0)
    layer = norms[name](8, **options).to(dtype)
    near, scale = torch.rand(2, 8, 1, 1), 1 + torch.rand(2, 8, 1, 1)
    for _ in range(3):
        ids = torch.arange(SHAPE[0]) % 2
        run(layer, (torch.randn(SHAPE) * scale[ids] + near[ids]).to(dtype), ids)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer.eval()


def evaluated(layer, x, domain):
    with torch.no_grad():
        return run(layer, x, torch.full((len(x),), domain))


def line_through_two_points(layer, x, domain):
    """Return what an affine map per channel would make of x, from its values at 0 and 1."""
    zero, one = (evaluated(layer, torch.full_like(x, value), domain) for value in (0, 1))
    return zero + (one - zero) * x


@pytest.mark.parametrize(("name", "options"), FOLDED, ids=str)
@pytest.mark.parametrize("domain", [0, 1])
def test_what_is_folded_evaluates_alike(name, options, domain):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        layer, x = seen(name, options, dtype), 2 * torch.randn(SHAPE, dtype=dtype)
        expected = evaluated(layer, x, domain)
        line = line_through_two_points(layer, x, domain)
        torch.testing.assert_close(line, expected, rtol=10 * tolerance, atol=10 * tolerance)
        folded = fold(layer, x, domain)
        assert type(folded) is nn.BatchNorm2d and folded.eps == layer.eps
        assert folded.weight.dtype == dtype and (folded.running_var > 0).all()
        torch.testing.assert_close(folded(x), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), REFUSED, ids=str)
def test_what_is_refused_is_no_affine_map_per_channel(name, options):
    layer, x = seen(name, options), 2 * torch.randn(SHAPE)
    network = nn.Sequential(nn.Identity(), layer)
    with pytest.raises(NoChannelMapError, match=rf"^1 \({type(layer).__name__}\) \w+ .*, so in"):
        fold(network, x, 1)
    away = evaluated(layer, x, 1) - line_through_two_points(layer, x, 1)
    assert away.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["mixture_norm", "ucb_norm", "uan", "frozen_gate_norm"])
def test_a_mixture_that_has_seen_nothing_since_its_conversion_folds(name):
    batch_norm = nn.BatchNorm2d(8)
    batch_norm(torch.randn(SHAPE) + 1)
    layer, x = norms[name].from_batch_norm(batch_norm).eval(), torch.randn(SHAPE)
    torch.testing.assert_close(fold(layer, x)(x), layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((4, 8), nn.BatchNorm1d), ((4, 8, 5), nn.BatchNorm1d), ((4, 8, 2, 2, 2), nn.BatchNorm3d)],
)
def test_the_example_decides_the_dimensions(shape, kind):
    x = torch.randn(shape)
    assert type(fold(norms["batch_norm"](8), x)) is kind


def test_an_unknown_domain_is_named():
    with pytest.raises(ValueError, match=r"give cluster_id, from 0 .* to 1, got None"):
        fold(norms["scb_norm"](8), torch.randn(SHAPE))
    with pytest.raises(ValueError, match="to 1, got 2"):
        fold(norms["auto_dial"](8), torch.randn(SHAPE), 2)


@pytest.mark.parametrize("domain", [0, 1])
def test_a_network_folds_and_stays_as_it_is(domain):
    torch.manual_seed(0)
    network = create_network("resnet10t", "domain_specific_batch_norm", 4, bottleneck=8)
    images, ids = torch.rand(6, 3, 32, 32), torch.arange(6) % 2
    network(images, ids)
    network.eval()
    state = copy.deepcopy(network.state_dict())
    folded = fold(network, images, domain)
    expected = network(images, torch.full((6,), domain)).logits
    torch.testing.assert_close(folded(images).logits, expected, rtol=1e-4, atol=1e-5)
    kinds = {type(layer) for layer in folded.modules() if "Norm" in type(layer).__name__}
    assert kinds == {nn.BatchNorm1d, nn.BatchNorm2d}
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_torchs_fusion_takes_what_is_folded():
    layer, conv = seen("trans_norm", {}), nn.Conv2d(3, 8, 3).eval()
    x = torch.randn(4, 3, 7, 7)
    folded = fold(layer, conv(x), 1)
    expected = evaluated(layer, conv(x), 1)
    torch.testing.assert_close(fuse_conv_bn_eval(conv, folded)(x), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_used_twice_stays_one():
    layer = norms["lp_batch_norm"](8)
    folded = fold(nn.Sequential(layer, nn.ReLU(), layer), torch.randn(SHAPE))
    assert folded[0] is folded[2]


def test_batch_norms_of_torch_stay_or_are_refused():
    x = torch.randn(SHAPE)
    kept = nn.Sequential(nn.BatchNorm2d(8))
    assert fold(kept, x)[0].state_dict().keys() == kept[0].state_dict().keys()
    with pytest.raises(NoChannelMapError, match=r"0 \(BatchNorm2d\) normalises by the batch"):
        fold(nn.Sequential(nn.BatchNorm2d(8, track_running_stats=False)), x)


def test_ids_that_differ_by_image_have_no_map():
    network = create_network("digits_cnn", "scb_norm", 4, id_source="random")
    with pytest.raises(ValueError, match="random ids"):
        fold(network, torch.rand(2, 3, 32, 32), 1)


def test_channels_last_layers_fold():
    model = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8))
    convert_norms(model, "batch_norm", replaces="layer_norm")
    x = torch.randn(4, 5, 5, 3)
    torch.testing.assert_close(fold(model, x)(x), model.eval()(x), rtol=1e-5, atol=1e-5)
