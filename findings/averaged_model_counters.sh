#!/usr/bin/env bash
# An average of a BatchNorm's weights and buffers counts no batches.
#
# torch.optim.swa_utils.AveragedModel(model, use_buffers=True) averages all buffers, integers too,
# and writes each average back in the buffer's own type. The result is rounded down, so a BatchNorm's
# num_batches_tracked stays where the first update found it: at 1 after 100 batches, or at 0 for
# ever if the first update came before the first batch. timm's ModelEmaV3 copies integers instead,
# and arrives at 100. Whoever reads the count (momentum=None, or "has it seen data?") is misled.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import timm
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

print(f"torch {torch.__version__}, timm {timm.__version__}")
torch.manual_seed(0)
model = nn.BatchNorm1d(2)
swa = AveragedModel(model, use_buffers=True)
ema = AveragedModel(model, use_buffers=True, multi_avg_fn=get_ema_multi_avg_fn(0.999))
early = AveragedModel(model, use_buffers=True, multi_avg_fn=get_ema_multi_avg_fn(0.999))
early.update_parameters(model)
theirs = ModelEmaV3(model, decay=0.999)
for step in range(100):
    model(torch.randn(8, 2) + 5)
    for average in (swa, ema, early):
        average.update_parameters(model)
    theirs.update(model, step=step)
counts = {
    "model": model,
    "AveragedModel, mean": swa.module,
    "AveragedModel, exponential": ema.module,
    "AveragedModel, first update before the first batch": early.module,
    "timm ModelEmaV3": theirs.module,
}
found = {name: int(layer.num_batches_tracked) for name, layer in counts.items()}
for name, count in found.items():
    print(f"num_batches_tracked of {name}: {count}")
assert list(found.values()) == [100, 1, 1, 0, 100], "this has changed"
assert early.module.running_mean.abs().min() > 0.1, "the mean was averaged all the same"
PYTHON
