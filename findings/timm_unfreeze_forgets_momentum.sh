#!/usr/bin/env bash
# Freezing and unfreezing by timm gives BatchNorms another momentum and a count of 0.
#
# timm.utils.freeze puts layers with constant statistics in place of BatchNorms, and unfreeze puts
# BatchNorms back, as for a phase in which the statistics of the source stay. The weights, statistics and
# epsilon come back; momentum does not, and is torch's 0.1: statistics of a network trained with
# 0.01 move ten times as fast, and an average of all batches (momentum=None) becomes an exponential
# one. num_batches_tracked starts at 0. Expected: the layers that were there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import timm
import torch
from timm.utils import freeze, unfreeze

print(f"timm {timm.__version__}, torch {torch.__version__}")
torch.manual_seed(0)
batch = torch.randn(8, 32, 4, 4) + 10


def state(model):
    norm = model.bn1
    norm.train()
    before = norm.running_mean.clone()
    norm(batch)
    share = ((norm.running_mean - before) / (batch.mean((0, 2, 3)) - before)).mean().item()
    return norm.momentum, norm.eps, int(norm.num_batches_tracked), round(share, 4)


found = {}
model = timm.create_model("tf_efficientnet_lite0", num_classes=5, bn_momentum=0.01, bn_eps=1e-3)
for _ in range(9):
    model.bn1.train()(batch)
found["trained"] = state(model)
freeze(model)
unfreeze(model)
found["frozen and unfrozen"] = state(model)
for name, (momentum, eps, count, share) in found.items():
    print(f"{name}: momentum {momentum}, epsilon {eps}, {count} batches counted, a batch weighs {share}")
assert found["trained"] == (0.01, 1e-3, 10, 0.01)
assert found["frozen and unfrozen"] == (0.1, 1e-3, 1, 0.1), "this has changed"
PYTHON
