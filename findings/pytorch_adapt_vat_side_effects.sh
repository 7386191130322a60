#!/usr/bin/env bash
# pytorch-adapt's virtual adversarial loss clears gradients and puts frozen BatchNorms in training mode.
#
# VATLoss searches a perturbation by a backward pass of its own, and calls model.zero_grad() after it:
# gradients of other losses, or of earlier batches that are being accumulated, are gone. It puts
# BatchNorms in evaluation mode for its passes, and in training mode afterwards, whatever they were: one
# that was frozen moves its statistics from then on, and so does the whole network if the loss is
# measured in evaluation. Expected: a loss that leaves the network as it was, as with torch.autograd.grad.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.6" \
    "pytorch-adapt==0.0.83" "pytorch-metric-learning==1.6.3" "torchmetrics==0.9.3" "setuptools==80.9.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from pytorch_adapt.layers import VATLoss
from torch import nn

print(f"pytorch-adapt {version('pytorch-adapt')}, torch {torch.__version__}")
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
source, target = torch.randn(2, 6, 3, 8, 8)
labels = torch.arange(6) % 3

nn.functional.cross_entropy(network(source), labels).backward()
before = network[0].weight.grad.abs().max().item()
VATLoss()(target, network(target), network)
after = network[0].weight.grad
print(f"largest gradient of the classification: {before:.3f}; after the loss was computed: {after}")

network.eval()
answers = network(source)
VATLoss()(target, network(target), network)
print(f"in evaluation, afterwards: network.training {network.training}, BatchNorm's {network[1].training}")
difference = (network(source) - answers).abs().max().item()
print(f"the same images are answered otherwise than before, by {difference:.3f}")
assert before > 0 and after is None, "this has changed"
assert not network.training and network[1].training and difference > 0.01, "this has changed"
PYTHON
