#!/usr/bin/env bash
# abstention calibrates the source for its estimate of a label shift, and not the target.
#
# EM (Saerens et al. 2002) finds the classes' shares in the target from probabilities, which have to be
# calibrated: EMImbalanceAdapter, by the authors of "Maximum likelihood with bias-corrected calibration is
# hard to beat at label shift adaptation" (Alexandari et al., ICML 2020), takes a calibrator. It
# calibrates both domains, and goes on with the target's as they came. Here probabilities are
# overconfident, and the shares are those of no calibration. Expected: the same as if
# both were calibrated before, with no calibrator given.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "abstention==0.1.3.1" "scikit-learn==1.9.1" "scipy==1.17.1" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from abstention.calibration import TempScaling
from abstention.label_shift import EMImbalanceAdapter
from scipy.special import softmax

print(f"abstention {version('abstention')}, scipy {version('scipy')}")
rng = np.random.default_rng(0)
even, uneven = np.full(3, 1 / 3), np.array([0.7, 0.2, 0.1])


def domain(shares):
    labels = rng.choice(3, 4000, p=shares)
    x = 2 * np.eye(3)[labels] + rng.normal(size=(4000, 3))
    return labels, softmax(4 * 2 * x, axis=1)  # 2 x are the exact logits, 4 makes them overconfident


labels, source = domain(even)
answers, target = domain(uneven)
one_hot = np.eye(3)[labels]
calibrator = TempScaling(verbose=False)
calibrated = calibrator(valid_preacts=source, valid_labels=one_hot, posterior_supplied=True)


def estimate(target, source, **options):
    return EMImbalanceAdapter(**options)(target, source, one_hot).multipliers / 3


shares = {
    "without a calibrator": estimate(target, source),
    "with a calibrator": estimate(target, source, calibrator_factory=calibrator),
    "calibrated before": estimate(calibrated(target), calibrated(source)),
    "the labels": np.bincount(answers) / 4000,
}
for name, each in shares.items():
    print(f"shares of the classes in the target, {name}: {each.round(3)}")
without, given, before, true = shares.values()
assert abs(before - true).max() < 0.01
assert abs(given - before).max() > 0.03 and abs(given - without).max() < 0.01, "this has changed"
PYTHON
