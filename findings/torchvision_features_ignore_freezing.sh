#!/usr/bin/env bash
# Features that torchvision extracts from a timm network move statistics that were frozen.
#
# BatchNorms of a pretrained network are frozen by .eval(). torchvision's create_feature_extractor
# makes a network of it that ends at a layer. The BatchNorms of many networks of timm also call the
# activation and are a class of timm's, so they are taken apart, into calls of F.batch_norm with
# training=True for training mode. The result has no BatchNorm left that could be in evaluation:
# those that were frozen before it was made, and whatever is frozen by their names afterwards,
# normalise by the batch and move their statistics in each pass. Resnets, of torch's BatchNorms,
# stay frozen. Expected: what was frozen stays so, as with timm.models.create_feature_extractor.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import timm
import torch
import torchvision
from timm.models import create_feature_extractor as by_timm
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor as by_torchvision

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}")
END = {
    "resnet18": "global_pool.flatten",
    "mobilenetv3_small_050": "flatten",
    "densenet121": "global_pool.flatten",
}


def train_but_norms(network, names):
    network.train()
    for name in names:
        network.get_submodule(name).eval()


def moved(name, extract):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0)
    norms = [key for key, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    train_but_norms(model, norms)
    network = extract(model, {END[name]: "features"}) if extract else model
    train_but_norms(network, norms)
    before = {key: value.clone() for key, value in network.named_buffers() if "running" in key}
    with torch.no_grad():
        network(torch.randn(4, 3, 64, 64) + 3)
    after = dict(network.named_buffers())
    return sum(not torch.equal(after[key], before[key]) for key in before), len(before)


found = {}
for name in END:
    for library, extract in (
        ("as it is", None),
        ("by timm", by_timm),
        ("by torchvision", by_torchvision),
    ):
        found[name, library] = moved(name, extract)
        changed, number = found[name, library]
        print(f"{name}, {library}: {changed} of {number} frozen statistics moved")
wrong = [each for each, (changed, _) in found.items() if changed]
assert wrong == [(name, "by torchvision") for name in ("mobilenetv3_small_050", "densenet121")], (
    "this has changed"
)
assert all(found[each][0] == found[each][1] for each in wrong)
PYTHON
