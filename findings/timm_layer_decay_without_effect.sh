#!/usr/bin/env bash
# timm's layer-wise decay of learning rates has no effect under torch's schedulers, or under none.
#
# create_optimizer_v2(model, layer_decay=0.5) gives each layer a group of parameters, so that a
# pretrained network's first layers move least; learning rates "will be scaled", it says. The scale
# is only noted in the groups, as lr_scale, and applied by timm's own schedulers, each time they set
# a rate. Their "lr" is the same for all, which is what an optimiser reads: with a scheduler of
# torch, or with none, the first layer of a vision transformer takes the full step of the head, 8192
# times what was asked for, and nothing is said. Expected: groups that have their rates. Multiplying
# each group's "lr" by its lr_scale, and deleting that, before a scheduler of torch is built, cures
# it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR

print(f"timm {timm.__version__}, torch {torch.__version__}")
FIRST, LAST = "patch_embed.proj.weight", "head.weight"


def steps(schedule):
    """How far one step of gradients of one moves the first layer, and the last."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5)
    optimizer = create_optimizer_v2(model, "momentum", lr=0.1, weight_decay=0, layer_decay=0.5)
    schedule(optimizer)
    weights = dict(model.named_parameters())
    before = {name: weights[name].detach().clone() for name in (FIRST, LAST)}
    for weight in weights.values():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    return [(before[name] - weights[name]).mean().item() for name in (FIRST, LAST)]


found = {}
for name, schedule in (
    ("no scheduler", lambda optimizer: None),
    ("torch's CosineAnnealingLR", lambda optimizer: CosineAnnealingLR(optimizer, 10)),
    ("timm's CosineLRScheduler", lambda optimizer: CosineLRScheduler(optimizer, 10)),
):
    first, last = steps(schedule)
    found[name] = last / first
    print(f"{name}: first layer moves {first:.2g}, head {last:.2g}, or {last / first:.0f} times as far")
alone, torchs, timms = found.values()
assert timms > 4000
assert abs(alone - 1) < 0.01 and abs(torchs - 1) < 0.01, "this has changed"
PYTHON
