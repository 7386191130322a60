#!/usr/bin/env bash
# A group of parameters that is added during torch's warm-up ends far above its learning rate.
#
# A pretrained network is unfrozen part by part: optimizer.add_param_group with a rate of its own,
# while a scheduler runs. LinearLR and ConstantLR multiply what each group has by the ratio of two
# factors, and take it for granted that each group was there at the start, when rates were
# multiplied by the first factor. A group that comes later was not: after a warm-up from a tenth it
# has up to ten times the rate that it was given, for the rest of the training, without a warning.
# Expected: that rate, or an error, as LambdaLR and CosineAnnealingWarmRestarts raise. Adding the
# group with its rate times the present factor cures it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LambdaLR, LinearLR

RATE, STEPS = 0.1, 10
print(f"torch {torch.__version__}, rates of both groups after {STEPS} steps:")


def final_rates(make, added):
    """The rates of the first group and of one that is added before step `added`."""
    body, head = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(body.parameters(), lr=RATE)
    scheduler = make(optimizer)
    for step in range(STEPS):
        if step == added:
            optimizer.add_param_group({"params": head.parameters(), "lr": RATE})
        optimizer.step()
        try:
            scheduler.step()
        except ValueError:
            return "ValueError"
    return [round(group["lr"], 4) for group in optimizer.param_groups]


found = {}
for name, make in (
    ("LinearLR", lambda optimizer: LinearLR(optimizer, start_factor=0.1, total_iters=8)),
    ("ConstantLR", lambda optimizer: ConstantLR(optimizer, factor=0.1, total_iters=8)),
    ("LambdaLR", lambda optimizer: LambdaLR(optimizer, lambda step: min(1, 0.1 + step / 8))),
    ("CosineAnnealingLR", lambda optimizer: CosineAnnealingLR(optimizer, 20)),
):
    found[name] = [final_rates(make, added) for added in (0, 4)]
    first, fifth = found[name]
    print(f"{name}: {first} if the group is added before the first step, {fifth} before the fifth")
assert found["LambdaLR"] == ["ValueError"] * 2
assert max(max(rates) for rates in found["CosineAnnealingLR"]) < RATE
assert found["LinearLR"] == [[0.1, 1.0], [0.1, 0.1818]], "this has changed"
assert found["ConstantLR"] == [[0.1, 1.0], [0.1, 1.0]], "this has changed"
PYTHON
