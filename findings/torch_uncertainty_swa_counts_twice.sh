#!/usr/bin/env bash
# torch-uncertainty's stochastic weight average counts its first network twice.
#
# SWA averages the weights that a network has at the ends of cycles (Izmailov et al., UAI 2018). The first
# network is copied and counted, and then counted again as every later one is: of two networks the first
# has two thirds, of five a third, and is the least trained of them. The number is saved as one too
# many. Expected: the mean, as torch's AveragedModel gives.
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
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch_uncertainty.methods import SWA

print(f"torch-uncertainty {version('torch-uncertainty')}, torch {torch.__version__}")
network = nn.Linear(1, 1, bias=False)
theirs, torchs = SWA(network, cycle_start=0, cycle_length=1), AveragedModel(network)
found = []
for epoch in range(5):
    with torch.no_grad():
        network.weight.fill_(epoch)
    theirs.update_wrapper(epoch)
    torchs.update_parameters(network)
    found.append((theirs.swa_model.weight.item(), torchs.module.weight.item()))
    count = int(theirs.num_avgd_models)
    print(f"weights 0 to {epoch}: torch-uncertainty {found[-1][0]:.2f} of {count}, torch {found[-1][1]:.2f}")
assert all(abs(mean - epoch / 2) < 1e-6 for epoch, (_, mean) in enumerate(found))
assert abs(found[1][0] - 1 / 3) < 1e-6 and abs(found[4][0] - 10 / 6) < 1e-6, "this has changed"
PYTHON
