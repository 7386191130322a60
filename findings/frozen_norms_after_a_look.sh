#!/usr/bin/env bash
# Printing, drawing or listing a network unfreezes its BatchNorms.
#
# A network is fine-tuned with its pretrained BatchNorms in evaluation, so that their statistics
# stay. To look at it meanwhile, torchinfo's summary, TensorBoard's add_graph and torchvision's
# get_graph_node_names (which returns a list of names) put it in evaluation or training, and then
# back by model.train(mode): that sets every layer to the mode of the outermost. So the frozen
# BatchNorms are in training afterwards, and the next batches move their statistics, without a word.
# Expected: each layer in its own mode again, as torch.export.export leaves it. Freezing anew after
# each look cures it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.6" \
    "torchinfo==1.8.0" "tensorboard==2.21.0"
"$work/venv/bin/python" - <<'PYTHON'
import tempfile
import warnings

import tensorboard
import torch
import torchinfo
import torchvision
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torchvision.models.feature_extraction import get_graph_node_names

warnings.simplefilter("ignore")
print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, ", end="")
print(f"torchinfo {torchinfo.__version__}, tensorboard {tensorboard.__version__}")
images = torch.randn(4, 3, 64, 64)


def drawn(model):
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        writer.add_graph(model, images)


found = {}
for name, look in (
    ("torch.export.export", lambda model: torch.export.export(model, (images,))),
    ("torchinfo's summary", lambda model: torchinfo.summary(model, (4, 3, 64, 64), verbose=0)),
    ("TensorBoard's add_graph", drawn),
    ("torchvision's get_graph_node_names", get_graph_node_names),
):
    torch.manual_seed(0)
    model = torchvision.models.resnet18().train()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.eval()
    look(model)
    training = sum(layer.training for layer in norms)
    before = [layer.running_mean.clone() for layer in norms]
    with torch.no_grad():
        model(images)
    moved = sum(
        not torch.equal(layer.running_mean, mean) for layer, mean in zip(norms, before, strict=True)
    )
    found[name] = moved
    print(
        f"after {name}: {training} of {len(norms)} frozen norms in training, the next batch moves {moved}"
    )
right, *wrong = found.values()
assert right == 0
assert wrong == [20, 20, 20], "this has changed"
PYTHON
