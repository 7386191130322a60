"""Small versions of backbones with LayerNorm, without weights, with planted affine parameters."""

import timm
import torch
import torchvision
from torch import nn

SMALL_VIT = {"img_size": 32, "embed_dim": 24, "depth": 2, "num_heads": 2}
FAMILIES = {
    "vit": ("vit_tiny_patch16_224", SMALL_VIT),
    "dinov2": ("vit_small_patch14_reg4_dinov2", SMALL_VIT | {"img_size": 28}),
    "dinov3": ("vit_small_patch16_dinov3", SMALL_VIT),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 32, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2)},
    ),
    "convnext": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}),
    "convnextv2": ("convnextv2_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}),
    "torchvision_convnext": None,  # its LayerNorm2d takes channels first, as timm's does
}


def build(family):
    """Build a backbone in evaluation mode; its images are of `size(family)` pixels."""
    torch.manual_seed(0)
    if FAMILIES[family] is None:
        config = torchvision.models.convnext.CNBlockConfig
        model = torchvision.models.ConvNeXt([config(8, 16, 1), config(16, None, 1)])
        model.classifier[2] = nn.Identity()
    else:
        name, options = FAMILIES[family]
        model = timm.create_model(name, num_classes=0, **options)
    for layer in model.modules():
        if isinstance(layer, nn.LayerNorm):
            nn.init.uniform_(layer.weight, 0.5, 2)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -0.5, 0.5)
        if hasattr(layer, "gamma") and isinstance(layer.gamma, nn.Parameter):
            nn.init.uniform_(layer.gamma, 0.2, 1)  # starts so small that branches say nothing
    return model.eval()


def images(family, count=4):
    """Draw images for a family."""
    size = (FAMILIES[family] or ("", {}))[1].get("img_size", 32)
    return torch.rand(count, 3, size, size)
