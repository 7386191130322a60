#!/usr/bin/env bash
# imbalanced-learn's SMOTE makes noise of images of 8 bits.
#
# SMOTE evens out the classes of a source with new images between an image and a neighbour of its class:
# x + u (neighbour - x). The neighbours are found in floating point, but the difference is taken in the type
# of the data. Pixels as they are stored, uint8, wrap around: 100 - 110 is 246, and the new image lies
# elsewhere, or wraps around itself. The shape, type and range of the result are those of images, and nothing
# is said. BorderlineSMOTE and SVMSMOTE do the same. Expected: what the same pixels as floats give,
# rounded, as scikit-learn's own tools turn integers into floats.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "imbalanced-learn==0.14.2" "scikit-learn==1.9.1" "scipy==1.17.1" \
    "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import imblearn
import numpy as np
from imblearn.over_sampling import SMOTE, SVMSMOTE, BorderlineSMOTE
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

print(f"imbalanced-learn {imblearn.__version__}, numpy {np.__version__}")
images, labels = load_digits(return_X_y=True)
images = (15 * images).astype(np.uint8)
train = np.arange(len(labels)) % 2 == 0
kept = train & ((labels != 8) | (np.arange(len(labels)) % 16 == 0))  # few eights
test = ~train
found = {}
for method in (SMOTE, BorderlineSMOTE, SVMSMOTE):
    new, right = {}, {}
    for kind in (np.uint8, np.float32):
        x, y = method(random_state=0).fit_resample(images[kept].astype(kind), labels[kept])
        made = x[kept.sum() :].astype(float)[y[kept.sum() :] == 8]
        new[kind] = made
        model = LogisticRegression(max_iter=2000).fit(x / 255, y)
        right[kind] = (model.predict(images[test] / 255) == labels[test])[labels[test] == 8].mean()
    old = images[kept & (labels == 8)].astype(float)
    outside = {kind: ((x > old.max(0) + 1) | (x < old.min(0) - 1)).mean() for kind, x in new.items()}
    apart = {kind: abs(x - old.mean(0)).mean() for kind, x in new.items()}
    found[method.__name__] = outside, apart
    print(f"{method.__name__}, from uint8 and from float32: {outside[np.uint8]:.0%} and", end=" ")
    print(f"{outside[np.float32]:.0%} of new pixels are out of the range of their class,", end=" ")
    print(f"{apart[np.uint8]:.0f} and {apart[np.float32]:.0f} levels from its mean;", end=" ")
    print(f"{right[np.uint8]:.0%} and {right[np.float32]:.0%} of other images are found")
for outside, apart in found.values():
    assert outside[np.float32] == 0 and outside[np.uint8] > 0.05, "this has changed"
    assert apart[np.uint8] > 1.5 * apart[np.float32], "this has changed"
PYTHON
