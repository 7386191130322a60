#!/usr/bin/env bash
# pytorch-adapt's AdaBN gives the target layers of another kind than the source.
#
# AdaBNModel keeps each BatchNorm for the source, and adds one for the target, made from the number of
# channels alone. Where the first has another epsilon or momentum than torch's defaults, as in
# mobilenet_v3 (0.001 and 0.01), the domains differ by that too: with the same statistics the same image
# has other answers. In many networks of timm the BatchNorm also calls the activation: there the target
# passes a network without activations. Expected: two layers of one kind, of which only the
# statistics differ.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6" \
    "pytorch-adapt==0.0.83" "pytorch-metric-learning==1.6.3" "torchmetrics==0.9.3" "setuptools==80.9.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import timm
import torch
import torchvision
from pytorch_adapt.layers import AdaBNModel
from pytorch_adapt.layers.adaptive_batch_norm import AdaptiveBatchNorm2d

print(f"pytorch-adapt {version('pytorch-adapt')}, torch {torch.__version__}, timm {timm.__version__}")
torch.manual_seed(0)
images = torch.randn(4, 3, 64, 64)
source, target = torch.tensor([0]), torch.tensor([1])
found = {}
for name, model in (
    ("torchvision resnet18", torchvision.models.resnet18(num_classes=5)),
    ("torchvision mobilenet_v3_small", torchvision.models.mobilenet_v3_small(num_classes=5)),
    ("timm tf_efficientnet_lite0", timm.create_model("tf_efficientnet_lite0", num_classes=5)),
):
    model = AdaBNModel(model)
    pairs = [layer.bns for layer in model.modules() if isinstance(layer, AdaptiveBatchNorm2d)]
    for one, other in pairs:
        torch.nn.init.uniform_(one.running_var, 0.01, 1)
        other.running_mean, other.running_var = one.running_mean.clone(), one.running_var.clone()
    model.eval()
    with torch.no_grad():
        by_source, by_target = model(images, source), model(images, target)
    change = ((by_target - by_source).abs().max() / by_source.abs().max()).item()
    kinds = [f"{type(norm).__name__} ({norm.eps}, {norm.momentum})" for norm in pairs[0]]
    print(f"{name}: {kinds[0]} and {kinds[1]}; same statistics, answers differ by {change:.2g}")
    found[name] = change
same, epsilon, activation = found.values()
assert same == 0
assert epsilon > 0.01 and activation > 1, "this has changed"
PYTHON
