#!/usr/bin/env bash
# albumentations adapts photographs to another domain by making them dark, or white.
#
# PixelDistributionAdaptation gives an image the mean and spread, or the principal components, of the colours
# of an image of another domain, and mixes the result with the original by a random share, 0.25 to 1.
# The adapted image is in 0 to 1 and the original in 0 to 255. So of 8 bits the result is the original,
# darkened by that share, and black for a share of 1; of floats the sum is cut off at 1, which is
# white, for any share below 1. The other domain has no effect, and nothing is said: source images that
# were to look like the target are dark or blank. Expected: colours between the source's and the target's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "albumentations==2.0.8" "opencv-python-headless==5.0.0.93" "numpy==2.4.6"
NO_ALBUMENTATIONS_UPDATE=1 "$work/venv/bin/python" -W ignore - <<'PYTHON'
import albumentations as A
import numpy as np

print(f"albumentations {A.__version__}")
random = np.random.default_rng(0)


def photograph(mean):
    return random.normal(mean, 20, (64, 64, 3)).clip(0, 255).astype(np.uint8)


def floats(image):
    return image.astype(np.float32) / 255


source, target = photograph((140, 110, 80)), photograph((90, 120, 170))
print(f"mean colours of 255: source {source.mean((0, 1)).round()}, target {target.mean((0, 1)).round()}")
for kind in ("pca", "standard", "minmax"):
    means = []
    for share in (0.5, 1.0):
        adapt = A.Compose(
            [A.PixelDistributionAdaptation(blend_ratio=(share, share), transform_type=kind, p=1)]
        )
        bits = adapt(image=source, pda_metadata=[target])["image"].mean((0, 1))
        adapted = adapt(image=floats(source), pda_metadata=[floats(target)])["image"]
        means.append((bits, 255 * adapted.mean((0, 1))))
        print(f"{kind}, share {share}: of 8 bits {bits.round()}, of floats {means[-1][1].round()}")
    assert np.abs(means[0][0] - source.mean((0, 1)) / 2).max() < 2, "this has changed"
    assert means[0][1].min() > 250 and means[1][0].max() < 2, "this has changed"
PYTHON
