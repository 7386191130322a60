#!/usr/bin/env bash
# QuaPy's calibrated estimate of a label shift takes the classes -1 and 1 for one.
#
# EMQ estimates the classes' shares in the target by EM (Saerens et al. 2002), and calibrates the classifier
# before if asked to, as EMQ_BCTS does. For the calibration labels are made one-hot by np.eye(2)[labels]: with
# -1 and 1 that is the last row for both, so the calibrator learns that every image is of one class, and
# the shares are 0 and 1, or far off otherwise. scikit-learn's classifiers and QuaPy's other quantifiers
# take such labels, and EMQ without calibration is right. Expected: the same shares for 0 and 1, for -1
# and 1, and for texts, which are numbered by their place among the classes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "quapy==0.2.3" "abstention==0.1.3.1" "scikit-learn==1.9.1" \
    "scipy==1.17.1" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import logging

logging.disable()

import numpy as np
import quapy
from quapy.method.aggregative import EMQ, PACC
from sklearn.linear_model import LogisticRegression

print(f"QuaPy {quapy.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)


def domain(share):
    places = (rng.random(2000) < share).astype(int)
    return rng.normal(0, 1, (2000, 5)) + 0.6 * places[:, None], places


(x, places), (target, hidden) = domain(0.5), domain(0.8)
print(f"share of the second class in the target: {hidden.mean():.3f}")
found = {}
for labels in ([0, 1], [-1, 1], ["cat", "dog"]):
    for name, method in {
        "EMQ": EMQ(LogisticRegression()),
        'EMQ, calib="ts"': EMQ(LogisticRegression(), calib="ts", val_split=5),
        "EMQ_BCTS": EMQ.EMQ_BCTS(LogisticRegression()),
        "PACC": PACC(LogisticRegression()),
    }.items():
        np.random.seed(0)
        method.fit(x, np.array(labels)[places])
        found[name, labels[0]] = method.predict(target)[1]
        print(f"labels {labels}, {name}: {found[name, labels[0]]:.3f}")
for (name, first), share in found.items():
    if first == -1 and name in ('EMQ, calib="ts"', "EMQ_BCTS"):
        assert abs(share - hidden.mean()) > 0.15, "this has changed"
    else:
        assert abs(share - hidden.mean()) < 0.03
PYTHON
