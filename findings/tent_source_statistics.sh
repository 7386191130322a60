#!/usr/bin/env bash
# torch-ttt's Tent normalises its answers by the statistics of the source.
#
# Tent adapts to a batch by that batch's own mean and variance. The engine sets
# track_running_stats=False in each BatchNorm, and answers in evaluation mode (engine.eval(), as in its
# documentation). One would expect that such a layer has no running statistics: built so, it has none. Set
# later, the buffers stay, and in evaluation torch uses them. The engine's answers, also those
# it minimises the entropy of, come from the source's statistics, as if nothing had been done
# about norms. The authors of Tent also set running_mean and running_var to None.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.6" \
    "einops==0.8.2"
"$work/venv/bin/pip" install --quiet --no-deps "torch-ttt==0.0.2"
"$work/venv/bin/python" - <<'PYTHON'
import copy
from importlib.metadata import version

import torch
from torch import nn
from torch_ttt.engine.tent_engine import TentEngine

print(f"torch-ttt {version('torch-ttt')}, torch {torch.__version__}")
torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
)
for _ in range(50):
    network(torch.randn(32, 3, 8, 8))  # the source: mean 0, deviation 1
target = torch.randn(64, 3, 8, 8) * 3 + 4

expected = copy.deepcopy(network)
for layer in expected.modules():
    if isinstance(layer, nn.BatchNorm2d):
        layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
by_batch, by_source = expected.eval()(target), copy.deepcopy(network).eval()(target)

engine = TentEngine(copy.deepcopy(network), {"lr": 0.0}).eval()  # no step: norms alone
answers, _ = engine(target)
to_batch = (answers - by_batch).abs().max().item()
to_source = (answers - by_source).abs().max().item()
print(f"its logits differ by {to_batch:.3f} from those with the batch's statistics,")
print(f"and by {to_source:.3f} from those of the network that was not adapted")
assert to_source == 0 and to_batch > 0.1, "this has changed"
PYTHON
