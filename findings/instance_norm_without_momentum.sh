#!/usr/bin/env bash
# An InstanceNorm with momentum=None never learns its running statistics.
#
# In torch, momentum=None tells a BatchNorm to average its statistics over all batches, and whoever
# estimates statistics anew sets it so, as torch.optim.swa_utils.update_bn does. InstanceNorm2d with
# track_running_stats=True takes it, too, but as 0: the mean stays 0 and the variance 1, so that in
# evaluation the layer does not normalise at all, without an error. Expected: the same average. With
# any momentum, num_batches_tracked stays 0 in an InstanceNorm, though it is saved with the rest.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn

print(f"torch {torch.__version__}")
found = {}
for kind in (nn.BatchNorm2d, nn.InstanceNorm2d):
    for momentum in (0.1, None):
        torch.manual_seed(0)
        layer = kind(1, momentum=momentum, track_running_stats=True)
        for _ in range(100):
            layer(torch.randn(8, 1, 16, 16) * 3 + 5)
        mean, variance = layer.running_mean.item(), layer.running_var.item()
        answer = layer.eval()(torch.full((1, 1, 2, 2), 5.0)).mean().item()
        found[kind.__name__, momentum] = round(mean), round(variance), int(layer.num_batches_tracked)
        print(
            f"{kind.__name__}, momentum={momentum}: mean {mean:.2f}, variance {variance:.2f}, "
            f"{layer.num_batches_tracked} batches; 5 becomes {answer:.2f}"
        )
assert found == {
    ("BatchNorm2d", 0.1): (5, 9, 100),
    ("BatchNorm2d", None): (5, 9, 100),
    ("InstanceNorm2d", 0.1): (5, 9, 0),
    ("InstanceNorm2d", None): (0, 1, 0),
}, "this has changed"
PYTHON
