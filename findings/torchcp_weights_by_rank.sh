#!/usr/bin/env bash
# torchcp's conformal prediction under covariate shift gives weights to scores by rank, not by image.
#
# Weighted conformal prediction (Tibshirani et al., NeurIPS 2019) weighs each source image's score by how much
# the image looks like the target, so that sets of classes cover the target's label as often as asked.
# WeightedPredictor sorts the scores, and the weights on their own: the least weight goes to the least score,
# the greatest to the greatest. Weights so count as if the target were the harder images, whichever they
# are. Below, the weights are exact, and the target is once the clear images, once the unclear: 90 % is
# asked, and the sets are far larger than those of the paper. Expected: each score with its own weight.
# (torchsort, which only a loss needs, and the modules for graphs and texts are left out.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6" "scikit-learn==1.9.1" "pandas==3.1.1" \
    "tqdm==4.70.1"
"$work/venv/bin/pip" install --quiet --no-deps "torchcp==1.2.1"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from types import ModuleType

for name in ("torchsort", "torchcp.graph", "torchcp.llm"):
    sys.modules[name] = ModuleType(name)
sys.modules["torchsort"].soft_rank = sys.modules["torchsort"].soft_sort = None

import torch
import torchcp
from torch.utils.data import DataLoader, TensorDataset
from torchcp.classification.predictor import WeightedPredictor
from torchcp.classification.score import LAC

print(f"torchcp {torchcp.__version__}, torch {torch.__version__}")
torch.manual_seed(0)


class Network(torch.nn.Module):
    """Logits of 5 classes; the first feature is how clear the image is."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        a, b, c = x[:, 1:].T
        return self.scale * torch.exp(x[:, :1]) * torch.stack([a, -a, b, -b, c], 1)


class Domain(torch.nn.Module):
    """The exact probabilities of source and target, which differ by the mean of the first feature."""

    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def forward(self, x):
        target = torch.sigmoid(self.shift * x[:, 0] - self.shift**2 / 2)
        return torch.stack([1 - target, target], 1)


def images(shift, count=4000):
    x = torch.randn(count, 4) + torch.tensor([shift, 0, 0, 0])
    return x, torch.distributions.Categorical(logits=network(x)).sample()


def batches(domain):
    return DataLoader(TensorDataset(*domain), 500)


network, score = Network().requires_grad_(False), LAC()
found = {}
for name, shift in (("the clear images", 1.5), ("the unclear images", -1.5)):
    source, target = images(0.0), images(shift)
    theirs = WeightedPredictor(
        score, network, alpha=0.1, image_encoder=torch.nn.Identity(), domain_classifier=Domain(shift)
    )
    theirs.calibrate(batches(source), 0.1)
    result = theirs.evaluate(batches(target))

    def weights(x, shift=shift):
        return torch.exp(shift * x[:, 0] - shift**2 / 2)

    scores, order = score(network(source[0]), source[1]).sort()
    mass = weights(source[0])[order].cumsum(0) / (weights(source[0]).sum() + weights(target[0])[:, None])
    limits = torch.cat([scores, torch.tensor([torch.inf])])[(mass < 0.9).sum(1)]
    sets = score(network(target[0])) <= limits[:, None]
    covered, size = sets[range(len(sets)), target[1]].float().mean().item(), sets.sum(1).float().mean().item()
    found[name] = result["coverage_rate"], covered, result["average_size"], size
    print(f"target: {name}. Labels covered, 90% asked: torchcp {found[name][0]:.1%}, ", end="")
    print(f"the paper {covered:.1%}; classes in a set: {found[name][2]:.2f} and {size:.2f}")
for theirs, paper, large, small in found.values():
    assert abs(paper - 0.9) < 0.03
    assert theirs > 0.97 and large > small + 0.5, "this has changed"
PYTHON
