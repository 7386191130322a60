#!/usr/bin/env bash
# torchvision's backbone of mobilenet_v3 computes other features than the network its weights are from.
#
# mobilenet_backbone loads the weights of the classifier into BatchNorms that are frozen, its
# default. The classifier was trained with an epsilon of 0.001; frozen ones are built with 0.00001.
# Channels that are nearly constant, as pretrained mobile networks have some, are multiplied by up
# to ten: features of the same weights for the same images differ, with nothing said. Here they are
# four of 16 channels of the first layer. Faster R-CNN with weights_backbone builds it so, too.
# Expected: the function of the classifier. norm_layer=partial(FrozenBatchNorm2d, eps=0.001) gives
# it. (Weights are made up and put where torch keeps its downloads.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import os
import tempfile
from functools import partial
from pathlib import Path

import torch
import torchvision
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large
from torchvision.models.detection.backbone_utils import mobilenet_backbone
from torchvision.ops import FrozenBatchNorm2d

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}")
torch.manual_seed(0)
weights = MobileNet_V3_Large_Weights.IMAGENET1K_V1
images = torch.randn(4, 3, 96, 96)
with tempfile.TemporaryDirectory() as folder:
    os.environ["TORCH_HOME"] = folder
    network = mobilenet_v3_large().train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # an average of all batches
    with torch.no_grad():
        network.features[0][0].weight[:4] *= 0.003  # channels that are nearly constant
        for _ in range(4):
            network(torch.randn(8, 3, 96, 96))
    file = Path(folder, "hub", "checkpoints", weights.url.rsplit("/", 1)[1])
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    make = partial(mobilenet_backbone, backbone_name="mobilenet_v3_large", weights=weights, fpn=True)
    classifier = mobilenet_v3_large(weights=weights).eval()
    backbones = {
        "as it is built": make().eval(),
        "FrozenBatchNorm2d with eps=0.001": make(
            norm_layer=partial(FrozenBatchNorm2d, eps=0.001)
        ).eval(),
    }
found = {}
with torch.no_grad():
    expected = classifier.features[0](images)
    for name, backbone in backbones.items():
        epsilon = {layer.eps for layer in backbone.modules() if isinstance(layer, FrozenBatchNorm2d)}
        first = backbone.body["0"](images)
        found[name] = ((first - expected).norm() / expected.norm()).item()
        print(f"{name}: epsilon {epsilon}, the first layer's features differ by {found[name]:.2g}")
wrong, right = found.values()
assert right < 1e-5
assert wrong > 0.05, "this has changed"
PYTHON
