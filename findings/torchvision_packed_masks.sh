#!/usr/bin/env bash
# torchvision reads masks of few classes as packed bits, and fills up with whatever is in memory.
#
# Masks for segmentation are PNGs with a palette: a pixel is the number of its class. decode_image returns
# those numbers, for more than 16 classes. With up to 16 the file has 4, 2 or 1 bits a pixel, as Pillow
# writes without being asked: then the bytes come back as they lie in the file, with several pixels in
# each, in the first part of each row. The rest of the row is not written at all, and holds other
# numbers each time. Shape and type are as they should be. Expected: the classes, as Pillow reads them, and
# as grey images of 4 bits are unpacked. With mode="RGB" the colours are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "pillow==13.0.0" "numpy==2.4.6"
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.io import decode_image

print(f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}")
row = [0, 0, 1, 1, 2, 2, 3, 3]
first = {}
for classes in (20, 16, 4):
    mask = Image.fromarray(np.array([row] * 8, np.uint8), "P")
    mask.putpalette([level for number in range(classes) for level in (number, 0, 255 - number)])
    mask.save("mask.png")
    assert np.asarray(Image.open("mask.png"))[0].tolist() == row
    assert decode_image("mask.png", mode="RGB")[0, 0].tolist() == row
    decoded = decode_image("mask.png")
    assert decoded.shape == (1, 8, 8), "this has changed"
    first[classes] = decoded[0, 0].tolist()
    print(f"palette of {classes} classes, a row of {row}: {first[classes]}")
assert first[20] == row, "this has changed"
assert first[16][:4] == [0x00, 0x11, 0x22, 0x33], "this has changed"
assert first[4][:2] == [0b00000101, 0b10101111], "this has changed"
PYTHON
