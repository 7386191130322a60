#!/usr/bin/env bash
# A saved LoRA adapter leaves out the running statistics that moved while it was trained.
#
# peft.get_peft_model freezes the parameters of the network, but BatchNorms in training mode go on
# moving their running mean and variance. save_pretrained writes the adapter's own tensors only. The
# adapter, loaded onto the network that it was made for, then computes another function than the one
# that was trained and evaluated, without a warning. With the BatchNorms in modules_to_save their
# statistics are saved, and both agree. Expected: the statistics in the file, or a warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "peft==0.21.2" "numpy==2.4.6"
"$work/venv/bin/python" - "$work" <<'PYTHON'
import copy
import sys

import peft
import torch
from torch import nn

print(f"torch {torch.__version__}, peft {peft.__version__}")
torch.manual_seed(0)
images = torch.randn(8, 3, 8, 8) * 2 + 1


def difference(modules_to_save):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)
    )
    start = copy.deepcopy(net)
    config = peft.LoraConfig(target_modules=["0"], modules_to_save=modules_to_save)
    trained = peft.get_peft_model(net, config).train()
    optimizer = torch.optim.SGD([p for p in trained.parameters() if p.requires_grad], 0.01)
    for _ in range(20):
        trained(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    trained.save_pretrained(f"{sys.argv[1]}/adapter")
    loaded = peft.PeftModel.from_pretrained(start, f"{sys.argv[1]}/adapter")
    with torch.no_grad():
        wanted, found = trained.eval()(images), loaded.eval()(images)
    return float((found - wanted).abs().max() / wanted.std())


without, saved = difference(["4"]), difference(["1", "4"])
print(f"largest difference, in standard deviations of the outputs: {without:.3f}")
print(f"with the BatchNorm in modules_to_save: {saved:.1e}")
assert without > 0.1 and saved < 1e-4, "this has changed"
PYTHON
