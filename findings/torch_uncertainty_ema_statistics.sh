#!/usr/bin/env bash
# torch-uncertainty's average of a network keeps the running statistics that it started with.
#
# EMA averages the parameters after each step, and answers in evaluation by the average. Its buffers are
# those of the copy that was made at the start: BatchNorms of a new network normalise by mean 0 and
# variance 1 for ever, and those of a pretrained one by the statistics of the data before. There is no
# bn_update as for SWA, and no warning. Expected: averaged or copied statistics, as timm's ModelEmaV3 and
# torch's AveragedModel with use_buffers=True give.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6" \
    "lightning==2.6.6" "jsonargparse[signatures]==4.53.0" "rich==15.0.0" "einops==0.8.2" "seaborn==0.13.2"
"$work/venv/bin/pip" install --quiet --no-deps "torch-uncertainty==0.13.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch_uncertainty.methods import EMA

print(f"torch-uncertainty {version('torch-uncertainty')}, torch {torch.__version__}")
torch.manual_seed(0)
network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
model, other = EMA(network, momentum=0.9), ModelEmaV3(network, decay=0.9)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)


def batch(count):
    x = torch.randn(count, 4)
    return 5 + 3 * x, (x[:, 0] > 0).long()


for _ in range(500):
    images, labels = batch(64)
    loss = nn.functional.cross_entropy(model.train()(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    model.update_wrapper()
    other.update(network)

images, labels = batch(2000)
found = {}
for name, each in (
    ("the network", network),
    ("torch-uncertainty's EMA", model),
    ("timm's ModelEmaV3", other.module),
):
    accuracy = (each.eval()(images).argmax(1) == labels).float().mean().item()
    norm = each.ema_model[0] if each is model else each[0]
    found[name] = accuracy, norm.running_mean.mean().item()
    print(f"{name}: accuracy {accuracy:.2f}, mean of the running means {found[name][1]:.2f}")
(right, mean), (wrong, start), (theirs, _) = found.values()
assert right > 0.95 and theirs > 0.95 and mean > 4.5
assert start == 0 and wrong < 0.9, "this has changed"
PYTHON
