#!/usr/bin/env bash
# skada's contrastive domain discrepancy is the same wherever the target lies.
#
# CAN (Kang et al., CVPR 2019) brings each class of the target to that class of the source and away from
# the others, by the kernel's mean over pairs of images of the two classes. skada.deep.losses.cdd_loss
# selects columns of the kernel matrix by class, and not rows, so that a class meets all images of
# its domain, and divides sums over pairs between the domains by the square of the number of pairs,
# which makes them vanish. The loss for a copy of the source is that for a target whose
# classes have moved by their whole distance; the paper's, below, tells them apart.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "skada==0.6.0" "skorch==1.4.0" "pot==0.9.7.post1" \
    "scikit-learn==1.9.1" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import skada
import torch
from skada.deep.losses import cdd_loss
from skada.deep.utils import SphericalKMeans

print(f"skada {skada.__version__}, torch {torch.__version__}")
torch.manual_seed(0)
classes = 3
labels = torch.arange(60) % classes
source = 4 * torch.eye(classes)[labels] + 0.1 * torch.randn(60, classes)
centres = torch.stack([source[labels == c].mean(0) for c in range(classes)])
widths = [2.0 ** (i / 2 - 8) * torch.cdist(source, source).median() for i in range(33)]  # skada's


def kernel(a, b):
    return sum(torch.exp(-torch.cdist(a, b) / width) for width in widths).mean()


def paper(target, answers):
    within, between = [], []
    for a in range(classes):
        for b in range(classes):
            one, other = source[labels == a], target[answers == b]
            distance = kernel(one, one) + kernel(other, other) - 2 * kernel(one, other)
            (within if a == b else between).append(distance)
    return (sum(within) / len(within) - sum(between) / len(between)).item()


found = []
for name, shift in (("the source itself", 0.0), ("moved by 2", 2.0), ("moved by 4", 4.0)):
    target = source + shift * torch.tensor([1.0, 0, 0])
    means = SphericalKMeans(n_clusters=classes, initial_centroids=centres).fit(target)
    answers = means.predict(target)
    assert (answers == labels).all()
    found.append((cdd_loss(labels, source, target, means).item(), paper(target, answers)))
    print(f"target: {name}: loss by skada {found[-1][0]:.2f}, by the paper {found[-1][1]:.2f}")
(same, _, far), (same_paper, _, far_paper) = zip(*found)
assert abs(far - same) < 0.02 * abs(same), "this has changed"
assert far_paper - same_paper > 10
PYTHON
