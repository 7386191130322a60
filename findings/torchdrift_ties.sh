#!/usr/bin/env bash
# TorchDrift's test finds a drift between two halves of one domain, if features are often zero.
#
# KSDriftDetector compares the distribution of each feature in a batch with the source's, by
# Kolmogorov and Smirnov's distance. It sorts both together and takes the distance after each single value,
# also in the middle of equal ones, where all of the batch's come first. Features of a network after a
# ReLU are zero for half of the images: the distance is a half or more, and p far below any limit.
# Expected: the distance after all equal values, as in scipy, with which it agrees where no two are
# equal. A little noise on all features cures it.
# (The package needs torchvision for examples only, so it is left out.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile "torch==2.13.0" "numpy==2.4.6" "scipy==1.17.1" "tqdm==4.70.1"
"$work/venv/bin/pip" install --quiet --no-compile --no-deps "torchdrift==0.1.0.post1"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from scipy.stats import ks_2samp
from torchdrift.detectors import KSDriftDetector

print(f"torchdrift {version('torchdrift')}, torch {torch.__version__}, scipy {version('scipy')}")
torch.manual_seed(0)
linear = torch.nn.Linear(16, 32)


def features(kind):
    x = linear(torch.randn(100, 16)).detach()
    if kind == "before the ReLU":
        return x
    return x.relu() + (1e-6 * torch.rand(x.shape) if kind == "after it, with noise" else 0)


found = {}
for kind in ("before the ReLU", "after it", "after it, with noise"):
    drifts = scipys = distance = scipys_distance = 0
    for _ in range(20):
        source, batch = features(kind), features(kind)
        detector = KSDriftDetector()
        detector.fit(source)
        tests = [ks_2samp(source[:, i], batch[:, i]) for i in range(32)]
        drifts += detector.compute_p_value(batch) < 0.05
        scipys += min(test.pvalue for test in tests) * 32 < 0.05
        distance += detector(batch).item() / 20
        scipys_distance += max(test.statistic for test in tests) / 20
    found[kind] = drifts, scipys, distance, scipys_distance
    print(f"two batches of one domain, features {kind}: drifts {drifts} of 20, by scipy {scipys};", end=" ")
    print(f"mean of the largest distance {distance:.3f}, by scipy {scipys_distance:.3f}")
for kind in ("before the ReLU", "after it, with noise"):
    assert found[kind][0] <= 4 and abs(found[kind][2] - found[kind][3]) < 1e-5
assert found["after it"][1] <= 4
assert found["after it"][0] == 20 and found["after it"][2] > 0.4, "this has changed"
PYTHON
