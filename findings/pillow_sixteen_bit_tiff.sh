#!/usr/bin/env bash
# Pillow reads 16-bit TIFFs unlike 8-bit ones, without a word.
#
# Microscopes, satellites and cameras write TIFFs of 16 bits. Two of their forms lose something:
# - white-is-zero: of 8 bits, values are inverted to the usual black-is-zero; of 16 bits, they are
#   returned as stored, so the picture is a negative;
# - colour: 16 bits a channel come back as mode RGB with 8, the high byte alone. Nothing in the
#   opened image tells that 256 levels of a channel became one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "pillow==13.0.0" "tifffile==2025.5.10" "numpy==2.2.6"
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import PIL
import tifffile
from PIL import Image

print(f"Pillow {PIL.__version__}, tifffile {tifffile.__version__}")
stored8, stored16 = np.full((4, 4), 10, np.uint8), np.full((4, 4), 2570, np.uint16)  # 10 · 257
tifffile.imwrite("white8.tif", stored8, photometric="miniswhite")
tifffile.imwrite("white16.tif", stored16, photometric="miniswhite")
eight, sixteen = (np.asarray(Image.open(f"white{bits}.tif"))[0, 0] for bits in (8, 16))
print(f"white is zero, stored 10 of 255: read as {eight}; stored 2570 of 65535: read as {sixteen}")

levels = np.zeros((1, 256, 3), np.uint16)
levels[..., 0] = 2560 + np.arange(256)  # 256 levels of red
tifffile.imwrite("colour16.tif", levels, photometric="rgb")
image = Image.open("colour16.tif")
found = np.unique(np.asarray(image)[..., 0])
print(f"256 levels of 16-bit red: mode {image.mode}, levels read {found.tolist()}")

assert (int(eight), int(sixteen)) == (245, 2570), "this has changed"
assert image.mode == "RGB" and found.tolist() == [10], "this has changed"
PYTHON
