#!/usr/bin/env bash
# torch.fx's fusion of BatchNorms scales a convolution as often as it is used.
#
# torch.fx.experimental.optimization.fuse puts BatchNorms of evaluation into the convolutions before
# them. A network that runs on source and target in one forward pass has each pair twice in the graph, and
# each convolution is scaled and shifted twice; with a BatchNorm for each domain behind it, it gets
# those of both. Nothing is said. Expected: the same function, by fusing a shared pair once
# and leaving a convolution before two BatchNorms alone. One pass for all images is fused rightly.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

print(f"torch {torch.__version__}")
torch.manual_seed(0)


class Network(nn.Module):
    """One convolution and the BatchNorms of two domains, which may be the same one."""

    def __init__(self, by_domain):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.source = nn.BatchNorm2d(4)
        self.target = nn.BatchNorm2d(4) if by_domain else self.source
        for norm in {self.source, self.target}:
            nn.init.uniform_(norm.weight, 1, 2)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 1)


class Together(Network):
    def forward(self, source, target):
        return self.source(self.convolution(torch.cat([source, target])))


class Apart(Network):
    def forward(self, source, target):
        passed = self.source(self.convolution(source)), self.target(self.convolution(target))
        return torch.cat(passed)


found = {}
images = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
for name, network in (
    ("one pass", Together(False)),
    ("a pass for each domain", Apart(False)),
    ("a pass and a BatchNorm for each domain", Apart(True)),
):
    network.eval()
    with torch.no_grad():
        before, after = network(*images), fuse(network)(*images)
    found[name] = ((after - before).abs().max() / before.abs().max()).item()
    print(f"{name}: the fused network differs by {found[name]:.2g} of the largest value")
right, *wrong = found.values()
assert right < 1e-5
assert min(wrong) > 0.1, "this has changed"
PYTHON
