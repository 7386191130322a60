#!/usr/bin/env bash
# torchmetrics' accuracy per class counts a class that no image has, if one image is taken for it.
#
# The mean of the classes' accuracies is what VisDA and target data with missing classes are measured
# by. multiclass_accuracy(average="macro"), the default of MulticlassAccuracy, leaves a class out that
# neither labels nor predictions have. If labels lack it but a single prediction names it, it counts
# as a class of accuracy 0. scikit-learn's balanced_accuracy_score means those in the labels, in both
# cases. Two networks with one wrong answer each are apart by a third, by where the wrong answer went.
# Expected: that a class without an image has no accuracy.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchmetrics==1.9.0" "scikit-learn==1.9.1" \
    "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import torchmetrics
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.classification import MulticlassAccuracy

print(f"torchmetrics {torchmetrics.__version__}")
labels = torch.tensor([0, 0, 1, 1])
found = {}
for name, predictions in {
    "taken for class 0": torch.tensor([0, 0, 1, 0]),
    "taken for class 2, which no image has": torch.tensor([0, 0, 1, 2]),
}.items():
    theirs = MulticlassAccuracy(num_classes=3)(predictions, labels).item()
    found[name] = theirs, float(balanced_accuracy_score(labels, predictions))
    print(f"one of four images {name}: torchmetrics {theirs:.2f}, scikit-learn {found[name][1]:.2f}")
assert list(found.values()) == [(0.75, 0.75), (0.5, 0.75)], "this has changed"
PYTHON
