#!/usr/bin/env bash
# MobileNets and EfficientNets of transformers keep the running statistics of the last batch alone.
#
# Momentum is the weight of the newest batch in torch, 0.1 by default, and of the past in TensorFlow, where
# these networks are from. transformers gives torch's BatchNorms TensorFlow's numbers: 0.9997 in
# MobileNetV1, 0.997 in V2, 0.99 in EfficientNet and ALIGN. A pretrained network that is fine-tuned, or
# whose statistics are adapted to a target, forgets in one step all that was there, and answers in
# evaluation by the last batch, which is often a small rest. Nothing is said; the training loss is that of
# any momentum. Expected: what the originals do, 0.0003, 0.003 and 0.01 in torch's sense. Setting
# `layer.momentum` before the training cures it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "transformers==5.24.0" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import transformers
from torch import nn
from transformers import (
    EfficientNetConfig,
    EfficientNetForImageClassification,
    MobileNetV1Config,
    MobileNetV1ForImageClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
)

print(f"transformers {transformers.__version__}, torch {torch.__version__}")
SMALL = {"depth_multiplier": 0.25, "image_size": 32}
NETWORKS = {
    "MobileNetV1": lambda: MobileNetV1ForImageClassification(MobileNetV1Config(**SMALL)),
    "MobileNetV2": lambda: MobileNetV2ForImageClassification(MobileNetV2Config(**SMALL)),
    "EfficientNet": lambda: EfficientNetForImageClassification(
        EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.1, hidden_dim=320, image_size=32)
    ),
}
torch.manual_seed(0)
batches = [torch.randn(16, 3, 32, 32) for _ in range(10)]
batches += [torch.randn(4, 3, 32, 32) + 3]  # a rest of four bright images


def seen(name, momentum):
    """Momenta of the layers, and the first running mean after all batches, over that of the last."""
    torch.manual_seed(0)
    model = NETWORKS[name]().train()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = layer.momentum if momentum is None else momentum
    inputs = []
    norms[0].register_forward_pre_hook(lambda layer, x: inputs.append(x[0].mean((0, 2, 3))))
    with torch.no_grad():
        for batch in batches:
            model(batch)
    past, last = torch.stack(inputs[:-1]).mean(0), inputs[-1]
    share = torch.dot(norms[0].running_mean - past, last - past) / (last - past).square().sum()
    return sorted({layer.momentum for layer in norms}), share.item()


shares = {}
for name in NETWORKS:
    momenta, shares[name] = seen(name, None)
    usual = seen(name, 0.1)[1]
    print(f"{name}: momentum {momenta}; share of the last of 11 batches in the running mean: ", end="")
    print(f"{shares[name]:.4f}, by torch's default {usual:.4f}")
    assert 0 < usual < 0.2
assert all(share > 0.98 for share in shares.values()), "this has changed"
PYTHON
