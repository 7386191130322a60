#!/usr/bin/env bash
# A collection of torchmetrics gives a metric the numbers of another if they agree on the first batch.
#
# MetricCollection saves work: accuracy, precision and recall count the same, so they may share their
# counts. Which do is not told by their settings: those whose counts are equal after the first batch share
# them for ever. Open-set adaptation reports the accuracy of all classes and that of the known ones
# (ignore_index=unknown); images that are read folder by folder have no unknown one in the first batch.
# From then on the second metric is the first, without a word. Two thresholds that the first batch does not
# tell apart become one in the same way. Expected: what each metric gives alone, as shuffled images or
# compute_groups=False give.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchmetrics==1.9.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch
import torchmetrics
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryPrecision, MulticlassAccuracy

print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
torch.manual_seed(0)
UNKNOWN = 3
labels = torch.arange(4).repeat_interleave(100)  # folder by folder
guessed = torch.where(torch.rand(400) < 0.7, labels, torch.randint(0, 4, (400,)))
guessed[labels == UNKNOWN] = torch.randint(0, 4, (100,))
accuracies = {
    "all": MulticlassAccuracy(4, average="micro"),
    "known": MulticlassAccuracy(4, average="micro", ignore_index=UNKNOWN),
}
scores = torch.rand(400)
scores[:50] = scores[:50].round()  # a first batch without doubt
right = (torch.rand(400) < scores).long()
precisions = {"above_half": BinaryPrecision(0.5), "above_nine_tenths": BinaryPrecision(0.9)}


def together(metrics, answers, truth, **options):
    collection = MetricCollection({name: each.clone() for name, each in metrics.items()}, **options)
    for batch in zip(answers.split(50), truth.split(50), strict=True):
        collection.update(*batch)
    return {name: round(value.item(), 3) for name, value in collection.compute().items()}


found = []
for kind, metrics, answers, truth in (
    ("accuracy", accuracies, guessed, labels),
    ("precision", precisions, scores, right),
):
    alone = {name: round(each.clone()(answers, truth).item(), 3) for name, each in metrics.items()}
    order = torch.randperm(400)
    collected = together(metrics, answers, truth)
    print(f"{kind}, each alone: {alone}")
    print(f"{kind}, collected, in order: {collected}")
    print(f"{kind}, collected, shuffled: {together(metrics, answers[order], truth[order])}")
    assert together(metrics, answers[order], truth[order]) == alone
    assert together(metrics, answers, truth, compute_groups=False) == alone
    found.append(len({*collected.values()}) == 1 and collected != alone)
assert found == [True, True], "this has changed"
PYTHON
