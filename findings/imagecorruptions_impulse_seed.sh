#!/usr/bin/env bash
# A seed repeats every noise of imagecorruptions but one.
#
# imagecorruptions draws from NumPy's global generator, so np.random.seed before corrupt() gives the
# same corrupted image again, and benchmarks store a seed instead of images. Impulse noise is drawn by
# skimage.util.random_noise, which scikit-image has moved to np.random.default_rng(): without its own
# argument, that generator is new in each call. The same seed gives another image each time, in this
# corruption alone. (pkg_resources, which the package imports and does not ask for, is in setuptools
# below 81.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "imagecorruptions==1.1.2" "scikit-image==0.26.0" \
    "numpy==2.4.6" "setuptools==80.9.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from imagecorruptions import corrupt

print(", ".join(f"{n} {version(n)}" for n in ("imagecorruptions", "scikit-image", "numpy")))
image = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)


def noisy(name):
    np.random.seed(0)
    return corrupt(image, corruption_name=name, severity=3)


names = ("gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise")
found = {name: bool((noisy(name) == noisy(name)).all()) for name in names}
for name, same in found.items():
    print(f"{name}: {'the same image' if same else 'another image'} from the same seed")
assert list(found.values()) == [True, True, True, False], "this has changed"
PYTHON
