"""The top answers of ten families of pretrained shape are the same right after a conversion.

Their statistics are planted: those of images that pass through random weights, moved a little.
"""

import copy

import pytest
import timm
import torch
from norm_cases import LEND_NOTHING
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import share_context

FAMILIES = (
    *("resnet18", "densenet121", "mobilenetv3_small_050", "tf_efficientnet_lite0", "mnasnet_small"),
    *("regnety_002", "ghostnet_050", "repvgg_a0", "lcnet_050", "skresnet18"),
)
NORMS = (
    *("batch_norm", "domain_specific_batch_norm", "ucb_norm", "mixture_norm", "mode_norm", "uan"),
    *("ucb_norm(num_clusters=2, assign='sample')", "ucb_norm(assign='position')"),
    *("trans_norm", "kalman_norm", "group_norm", "instance_norm"),
)


@torch.no_grad()
def planted(family, images):
    """Return a network of 1,000 classes with planted statistics, in evaluation."""
    model = timm.create_model(family).train()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
        nn.init.normal_(layer.weight, 1, 0.2), nn.init.normal_(layer.bias, 0, 0.2)
    model(images)
    for layer in layers:
        layer.momentum = 0.1
        layer.running_mean += 0.1 * layer.running_var.sqrt() * torch.randn_like(layer.running_mean)
        layer.running_var *= torch.empty_like(layer.running_var).uniform_(0.8, 1.25)
    return model.eval()


@torch.no_grad()
def share_kept(model, norm, images):
    """Convert a copy, and return the share of the images whose top answer stays."""
    converted = copy.deepcopy(model)
    convert_norms(converted, norm)
    with share_context(converted).bind(torch.arange(len(images)) % 2):
        found = converted.eval()(images)
    return (found.argmax(1) == model(images).argmax(1)).double().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_top_answers_stay(family):
    coarse = torch.rand(48, 3, 8, 8)
    images = nn.functional.interpolate(coarse, size=64, mode="bicubic") + 0.1 * torch.randn(64, 64)
    model = planted(family, images)
    assert model(images).argmax(1).unique().numel() > 4  # there is something to keep
    kept = {norm: share_kept(model, norm, images) for norm in NORMS}
    assert {norm for norm, share in kept.items() if share < 1} == LEND_NOTHING & kept.keys(), kept
