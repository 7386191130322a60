#!/usr/bin/env bash
# A text given to `fit` through cross-validation is cut into letters, if its length is that of X.
#
# scikit-learn splits arguments of `fit` among the folds that have an item for each sample. A text
# has a length, too: with 8 samples a path of 8 letters reaches `fit` as a list of 4 of them, and
# one of 9 as it is. One would expect that a text is one value, as elsewhere in the library.
# `pathlib.Path` has no length and is passed on.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "scikit-learn==1.9.1" "numpy==2.4.6"
cat > "$work/fit.py" <<'PYTHON'
from pathlib import Path

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_score


class Constant(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, folder=None):
        print("  fit receives", repr(folder))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


print(sklearn.__version__)
X, y = np.zeros((8, 2)), np.arange(8) % 2
for folder in ("a/folder", "my/folder", Path("a/folder")):
    print(f"{folder!r} with 8 samples:")
    cross_val_score(Constant(), X, y, cv=2, params={"folder": folder})
PYTHON
"$work/venv/bin/python" "$work/fit.py" | tee "$work/out.txt"
grep -qF "fit receives ['a', '/', 'f', 'o']" "$work/out.txt" || { echo "this has changed"; exit 1; }
grep -qF "fit receives 'my/folder'" "$work/out.txt"
