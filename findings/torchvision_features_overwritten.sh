#!/usr/bin/env bash
# What torchvision extracts from a layer depends on which other layers were asked for.
#
# create_feature_extractor(network, {"layer1.0.bn1": "features"}) gives what the BatchNorm returns. Asked for
# a later layer as well, it gives that after the ReLU: most networks' activations write into their
# input, which the extractor still holds, and run only if something behind them is needed. Statistics
# of a layer on source and target, for measuring or aligning domains, are then those of another
# distribution: all negative values are zeros, and nothing is said. Expected: the same
# tensor in both calls. Setting `inplace = False` on all modules that have it, before, cures it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}")
images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def extracted(model, *names):
    with torch.no_grad():
        return create_feature_extractor(model, {name: name for name in names})(images)[names[0]]


differs = {}
for kind, name, later in (
    ("resnet18", "layer1.0.bn1", "avgpool"),
    ("resnet18", "layer1.0.add", "avgpool"),
    ("shufflenet_v2_x0_5", "conv1.1", "conv5.2"),
):
    torch.manual_seed(0)
    model = torchvision.models.get_model(kind, weights=None).eval()
    alone, beside = extracted(model, name), extracted(model, name, later)
    for layer in model.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False
    cured = extracted(model, name, later)
    print(f"{kind}, {name} alone: mean {alone.mean():.3f}, least {alone.min():.3f}; ", end="")
    print(f"with {later}: mean {beside.mean():.3f}, least {beside.min():.3f}")
    assert torch.equal(cured, alone) and alone.min() < 0
    differs[kind, name] = beside.min().item() >= 0
assert all(differs.values()), "this has changed"
PYTHON
