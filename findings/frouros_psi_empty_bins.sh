#!/usr/bin/env bash
# frouros' population stability index finds a huge drift between two halves of one domain.
#
# PSI sums (q - p) log(q / p) over 10 bins; above 0.25 is read as a drift. A bin that one side has no value
# in would be infinite, so frouros replaces a share of 0 by the least positive float, 2e-308, whose
# logarithm is -708: one value of 100 adds 7, which is 28 times the limit. The bins are equal parts of the
# range of both samples, so those at the ends hold a few values at most. Of 300 pictures' brightnesses and
# 300 more of the same kind every other pair is a drift. Expected: near 0 without one, as with a share of
# half a value, or of 0.0001, in place of 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "frouros==0.9.0" "numpy==2.1.3" "scipy==1.14.1" "matplotlib==3.9.4"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from frouros.detectors.data_drift import PSI

print(f"frouros {version('frouros')}, numpy {np.__version__}")
rng = np.random.default_rng(0)


def psi(reference, values, least):
    edges = np.histogram_bin_edges(np.concatenate([reference, values]), 10)
    p, q = (np.maximum(np.histogram(x, edges)[0] / len(x), least) for x in (reference, values))
    return ((q - p) * np.log(q / p)).sum()


found = {}
for count in (100, 300, 1000):
    for shift in (0.0, 0.5):
        theirs, usual = [], []
        for _ in range(200):
            reference, values = rng.normal(0, 1, count), rng.normal(shift, 1, count)
            detector = PSI()
            detector.fit(X=reference)
            theirs.append(detector.compare(X=values)[0].distance)
            usual.append(psi(reference, values, 0.5 / count))
        theirs, usual = np.array(theirs), np.array(usual)
        found[count, shift] = (theirs > 0.25).mean(), (usual > 0.25).mean(), np.median(theirs)
        print(f"{count} and {count} values, moved by {shift}: median {np.median(theirs):.2f},", end=" ")
        print(f"with half a value in empty bins {np.median(usual):.2f};", end=" ")
        print(f"above 0.25 in {found[count, shift][0]:.0%} and {found[count, shift][1]:.0%} of 200 pairs")
assert found[100, 0.0][0] > 0.5 and found[100, 0.0][2] > 3, "this has changed"
assert found[1000, 0.0][0] > 0.15, "this has changed"
assert found[1000, 0.0][1] == 0 and found[300, 0.0][1] < 0.02
PYTHON
