#!/usr/bin/env bash
# scikit-learn's LabelSpreading calls everything that no label reaches the first class.
#
# Labels spread from source rows to rows of -1 along a graph of neighbours. A target that lies apart, as
# after a shift of the domain, has no edge to any label: its rows of label_distributions_ are
# zeros, of which argmax takes the first class. transduction_ holds that class as if it had been found,
# fit says nothing, and an accuracy is that class's share. Expected: a warning, -1 as before, or
# equal probabilities. LabelPropagation by neighbours does the same. With the kernel rbf there is no edge
# between points that are more than 6 apart, where exp(-20 d^2) is 0 in a float.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "scikit-learn==1.9.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import sklearn
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

print(f"scikit-learn {sklearn.__version__}")
rng = np.random.default_rng(0)
labels = np.repeat([5, 6], 100)
source, target = rng.normal(0, 1, (2, 200, 2)) + np.repeat([[0, 0], [4, 0]], 100, axis=0)
hidden = np.concatenate([labels, np.full(200, -1)])
found = {}
for shift in (0, 20):
    x = np.concatenate([source, target + [0, shift]])
    for model in (
        LabelSpreading(kernel="knn"),
        LabelSpreading(),
        LabelPropagation(kernel="knn"),
    ):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model.fit(x, hidden)
        guesses, shares = model.transduction_[200:], model.label_distributions_[200:]
        zeros = (shares.sum(1) == 0).mean()
        right = (guesses == labels).mean()
        first = (guesses == 5).mean()
        name = f"{type(model).__name__}, {model.kernel}"
        print(f"target moved by {shift}, {name}: {right:.0%} right, {first:.0%} called 5, ", end="")
        print(f"{zeros:.0%} without any share, {len(said)} warnings")
        found[shift, name] = zeros, first, len(said)
near = [each for (shift, _), each in found.items() if shift == 0]
far = [each for (shift, _), each in found.items() if shift == 20]
assert all(zeros == 0 for zeros, _, _ in near)
assert all(each == (1, 1, 0) for each in far), "this has changed"
PYTHON
