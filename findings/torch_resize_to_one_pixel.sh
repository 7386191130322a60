#!/usr/bin/env bash
# torch cannot resize colour images of 8 bits to one pixel: an internal assertion fails.
#
# F.interpolate(images, (1, 1), mode="bilinear", antialias=True) of uint8 (N, 3, H, W) raises
# "INTERNAL ASSERT FAILED" on a CPU with AVX2; torchvision's resize, which calls it, raises likewise.
# Sizes (1, 2), (2, 1) and (2, 2) work, and so do floats, which one may round instead.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch
import torchvision
from torch.nn.functional import interpolate
from torchvision.transforms.v2.functional import resize

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}")
images = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)


def outcome(function, *arguments, **options):
    try:
        return function(*arguments, **options).unique().tolist()
    except RuntimeError as error:
        return str(error).split(" at ")[0]


found = {
    f"interpolate to {size}": outcome(interpolate, images, size, mode="bilinear", antialias=True)
    for size in ((1, 1), (1, 2), (2, 1), (2, 2))
}
found["resize to [1, 1]"] = outcome(resize, images, [1, 1], antialias=True)
found["resize of floats to [1, 1]"] = outcome(resize, images.float(), [1, 1], antialias=True)
for name, result in found.items():
    print(f"{name}: {result}")

failed = [name for name, result in found.items() if "INTERNAL ASSERT FAILED" in result]
assert failed == ["interpolate to (1, 1)", "resize to [1, 1]"], "this has changed"
assert all(result == [100] for name, result in found.items() if name not in failed)
PYTHON
