#!/usr/bin/env bash
# torch's conversion to SyncBatchNorm takes the activations out of timm's networks.
#
# For training on several GPUs SyncBatchNorm.convert_sync_batchnorm replaces each BatchNorm, those of
# classes derived from it too. In many networks of timm (efficientnet, mobilenetv3, densenet) the
# BatchNorm also calls the activation and dropout that follow. The new layer lists them as its children, so
# that the printed network and the names of its weights look right, but never calls them. Expected: that a
# class which the conversion does not know is kept, or refused. timm.layers.convert_sync_batchnorm
# is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import copy

import timm
import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

KINDS = nn.ReLU, nn.ReLU6, nn.Hardswish
print(f"torch {torch.__version__}, timm {timm.__version__}")
torch.manual_seed(0)
images = torch.randn(4, 3, 64, 64)
found = {}
for name in ("resnet18", "tf_efficientnet_lite0", "mobilenetv3_small_050"):
    model = timm.create_model(name, num_classes=5).eval()
    for library, convert in (
        ("torch", nn.SyncBatchNorm.convert_sync_batchnorm),
        ("timm", convert_sync_batchnorm),
    ):
        converted = convert(copy.deepcopy(model)).eval()
        assert converted.state_dict().keys() == model.state_dict().keys()
        calls = []
        listed = [layer for layer in converted.modules() if isinstance(layer, KINDS)]
        for layer in listed:
            layer.register_forward_hook(lambda *_: calls.append(1))
        with torch.no_grad():
            same = torch.allclose(converted(images), model(images), rtol=1e-3)
        print(f"{name}, converted by {library}: {len(listed)} activations, {len(calls)} calls, ", end="")
        print("the same function" if same else "another function")
        found[name, library] = same
assert [name for (name, library), same in found.items() if not same] == [
    "tf_efficientnet_lite0",
    "mobilenetv3_small_050",
], "this has changed"
assert all(same for (_, library), same in found.items() if library == "timm")
PYTHON
