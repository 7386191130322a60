#!/usr/bin/env bash
# torchmetrics' AUROC of cosine similarities depends on how the images fell into batches.
#
# Pretrained networks are used by the cosine between features and class centres or texts. AUROC
# depends on the order of scores alone, so any scores will do. torchmetrics takes a sigmoid of
# scores, per batch: if one of a batch is outside of 0 to 1, all of that batch are logits, and
# otherwise all are probabilities. Cosines of a hundredth of the images are below zero here; their
# batches end above all others. The area is 0.83 as one batch, and 0.68 in batches of 50. With
# several classes a softmax is taken in the same way, also for the calibration error. Expected: a
# number of the whole data. Scores that lie in 0 to 1 by themselves, (1 + cosine) / 2, have it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6" "torchmetrics==1.9.0"
"$work/venv/bin/python" - <<'PYTHON'
import torch
import torchmetrics
from torchmetrics.classification import BinaryAUROC, MulticlassAUROC

print(f"torch {torch.__version__}, torchmetrics {torchmetrics.__version__}")
torch.manual_seed(0)
N, CLASSES = 400, 5
labels = torch.randint(2, (N,))
cosines = (torch.randn(N) * 0.12 + 0.25 + 0.15 * labels).clamp(-1, 1)
of_class = torch.randint(CLASSES, (N,))
by_class = (torch.randn(N, CLASSES) * 0.1 + 0.25).clamp(-1, 1)
by_class[torch.arange(N), of_class] += 0.15


def area(metric, scores, labels, size):
    for some, theirs in zip(scores.split(size), labels.split(size), strict=True):
        metric.update(some, theirs)
    return metric.compute().item()


higher = (cosines[labels == 1][:, None] > cosines[labels == 0]).float().mean().item()
negative = (cosines < 0).float().mean()
print(f"pairs in the right order: {higher:.4f} ({negative:.1%} of cosines are negative)")
found = {}
for size in (N, 100, 50, 20, 10, 1):
    two = area(BinaryAUROC(), cosines, labels, size)
    shifted = area(BinaryAUROC(), (1 + cosines) / 2, labels, size)
    many = area(MulticlassAUROC(CLASSES), by_class, of_class, size)
    found[size] = two, shifted, many
    print(f"batches of {size}: {two:.4f}, of (1 + cosine) / 2 {shifted:.4f}; ", end="")
    print(f"{CLASSES} classes {many:.4f}")
assert all(abs(shifted - higher) < 1e-4 for _, shifted, _ in found.values())
assert abs(found[N][0] - higher) < 1e-4
assert found[50][0] < 0.75 and abs(found[50][2] - found[N][2]) > 0.05, "this has changed"
PYTHON
