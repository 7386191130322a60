"""LayerNorms of timm's and torchvision's backbones: function, gradients, and what is said."""

import copy

import pytest
import torch
from layer_norm_families import FAMILIES, build, images
from timm.layers import norm as timm_norm
from timm.layers import norm_act as timm_norm_act
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from dacbn.models import convert_norms
from dacbn.norms import norms, share_context

CHANNELS = 6
LAST, FIRST = (2, 5, 7, CHANNELS), (2, CHANNELS, 5, 7)
KINDS = [
    (nn.LayerNorm, LAST),
    (LayerNorm2d, FIRST),
    *((kind, LAST) for kind in (timm_norm.LayerNorm, timm_norm_act.LayerNormAct)),
    *((kind, FIRST) for kind in (timm_norm.LayerNorm2d, timm_norm_act.LayerNormAct2d)),
    *(
        (getattr(module, name), LAST if "2d" not in name.lower() else FIRST)
        for module, name in [
            (timm_norm, "LayerNormFp32"),
            (timm_norm, "LayerNorm2dFp32"),
            (timm_norm, "LayerNormExp2d"),
            (timm_norm_act, "LayerNormActFp32"),
            (timm_norm_act, "LayerNormAct2dFp32"),
        ]
        if hasattr(module, name)  # newer than the oldest timm
    ),
]


class Doubled(nn.LayerNorm):
    """Somebody's own LayerNorm."""

    def forward(self, x):
        """Normalise, and double."""
        return 2 * super().forward(x)


def planted(layer):
    nn.init.uniform_(layer.weight, 0.5, 2), nn.init.uniform_(layer.bias, -1, 1)
    return layer.eval()


@pytest.mark.parametrize(("kind", "shape"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("square", [True, False])
def test_every_kind_of_layer_norm_keeps_its_channels_and_its_activation(kind, shape, square):
    if square:  # the wrong axis would fit too
        shape = tuple(CHANNELS for _ in shape)
    old, x = planted(kind(CHANNELS)), torch.randn(shape)
    model = nn.Sequential(copy.deepcopy(old))
    report = convert_norms(model, "channel_layer_norm", replaces="layer_norm")
    torch.testing.assert_close(model(x), old(x), atol=1e-5, rtol=1e-5)
    assert report.notes == ()


@pytest.mark.parametrize("family", list(FAMILIES))
def test_channel_layer_norm_keeps_function_and_gradients(family):
    plain, x = build(family).double(), images(family).double()
    converted = copy.deepcopy(plain)
    count = sum(isinstance(layer, nn.LayerNorm) for layer in plain.modules())
    report = convert_norms(converted, "channel_layer_norm", replaces="layer_norm")
    assert len(report.replaced) == count >= 5 and report.notes == ()
    found = []
    for model in (plain, converted):
        inputs = x.clone().requires_grad_()
        y = model(inputs)
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        found.append([y, inputs.grad, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) > 2 * count
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("family", ["vit", "swin", "convnext"])
@pytest.mark.parametrize("norm", ["layer_norm", "ucb_norm", "dynamic_tanh"])
def test_other_norms_do_not_keep_the_function_and_the_report_says_so(family, norm):
    plain, x = build(family), images(family)
    converted = copy.deepcopy(plain)
    report = convert_norms(converted, norm, replaces="layer_norm")
    assert (converted(x) - plain(x)).norm() > 0.01 * plain(x).norm()
    (note,) = report.notes
    assert note.startswith(f"{len(report.replaced)} of the old layers standardised each position")
    assert "only channel_layer_norm" in note


@pytest.mark.parametrize("name", list(norms))
def test_every_norm_says_whether_it_keeps_the_function_of_a_layer_norm(name):
    old, x = planted(nn.LayerNorm(8)), torch.randn(4, 3, 8) + 1
    model = nn.Sequential(copy.deepcopy(old))
    notes = "\n".join(convert_norms(model, name, replaces="layer_norm").notes)
    with share_context(model).bind(torch.arange(4) % 2):
        kept = torch.allclose(model(x), old(x), atol=1e-5)
    assert kept != ("only channel_layer_norm" in notes)


def test_frozen_layer_norms_stay_frozen():
    model = nn.Sequential(nn.LayerNorm(4).requires_grad_(False), nn.LayerNorm(4))
    convert_norms(model, "channel_layer_norm", replaces="layer_norm")
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


def test_what_is_lost_is_said():
    model = nn.Sequential(nn.LayerNorm(4, bias=False), Doubled(4))
    notes = convert_norms(model, "channel_layer_norm", replaces="layer_norm").notes
    assert notes == (
        "1 of the old layers had no bias: the new ones learn one, from 0 on",
        "1 of the old layers were a Doubled: what it does beyond LayerNorm is lost",
    )


def test_a_layer_norm_over_positions_is_refused_and_the_model_stays():
    model = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm((4, 5)))
    with pytest.raises(ValueError, match=r"LayerNorm over \(4, 5\) learns a weight for each"):
        convert_norms(model, "channel_layer_norm", replaces="layer_norm")
    assert all(isinstance(layer, nn.LayerNorm) for layer in model)
    assert convert_norms(model, "batch_norm", "0", replaces="layer_norm").kept == ("1",)
