#!/usr/bin/env bash
# Pillow takes the low and high bytes of 16-bit planes for two pixels of 8 bits, without a word.
#
# A TIFF may keep each colour in a plane of its own (PlanarConfiguration 2), as rasters of satellites
# often do. Uncompressed, with 16 bits a sample, the planes come back as stripes: low byte, high byte,
# low byte, ... of the left half of each row. The same pixels interleaved, or in compressed planes,
# are read as the high byte, as expected.
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
planes = np.empty((3, 4, 4), np.uint16)
planes[:] = np.array([0x1280, 0x3490, 0xF010])[:, None, None]
separate = {"photometric": "rgb", "planarconfig": "separate"}
tifffile.imwrite("interleaved.tif", np.moveaxis(planes, 0, -1).copy(), photometric="rgb")
tifffile.imwrite("compressed planes.tif", planes, compression="zlib", **separate)
tifffile.imwrite("planes.tif", planes, **separate)
assert (tifffile.imread("planes.tif") == planes).all()
red = {}
for name in ("interleaved", "compressed planes", "planes"):
    red[name] = np.asarray(Image.open(f"{name}.tif"))[0, :, 0].tolist()
    print(f"red of a row, stored 0x1280 = 18 * 256 + 128, {name}: {red[name]}")

assert red["interleaved"] == red["compressed planes"] == [18] * 4, "this has changed"
assert red["planes"] == [128, 18, 128, 18], "this has changed"
PYTHON
