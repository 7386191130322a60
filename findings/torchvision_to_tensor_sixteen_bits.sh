#!/usr/bin/env bash
# torchvision's ToTensor gives the brighter half of a 16-bit image negative values.
#
# ToTensor scales images of 8 bits to 0 to 1 and returns other modes as they are. Of a PNG or TIFF of 16
# bits, as X-rays, depths and thermal images are, it makes signed numbers: 32768 becomes -32768, and
# white becomes -1, darker than black. If the file has its bytes the other way round, as TIFFs of
# microscopes often do, each pixel is its low byte divided by 255: a number between 0 and 1 that looks
# right and is noise. Nothing is said in either case. Expected: 0 to 65535, 0 to 1 or an error. ToImage and
# ToDtype(torch.float32, scale=True) of transforms.v2 give 0 to 1 for the first, and an error for the
# second.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "pillow==13.0.0" "numpy==2.4.6"
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import ToTensor, v2

print(f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}")
pixels = np.array([[0, 1000, 32767, 32768, 65535]], np.uint16)
Image.fromarray(pixels).save("image.png")
Image.frombytes("I;16B", (5, 1), pixels.astype(">u2").tobytes()).save("other order.tif")
found = {}
for name in ("image.png", "other order.tif"):
    image = Image.open(name)
    assert (np.asarray(image) == pixels).all()
    found[name] = ToTensor()(image)
    print(f"{name} holds {pixels[0].tolist()}, ToTensor: {found[name].dtype}, ", end="")
    print([round(value, 3) for value in found[name].flatten().tolist()])
cure = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
values = [round(value, 3) for value in cure(Image.open("image.png")).flatten().tolist()]
print(f"ToImage and ToDtype: {values}")
assert found["image.png"].flatten().tolist() == [0, 1000, 32767, -32768, -1], "this has changed"
low_bytes = torch.tensor([[[0, 232, 255, 0, 255]]]) / 255
assert torch.equal(found["other order.tif"], low_bytes), "this has changed"
assert values == [0, 0.015, 0.5, 0.5, 1], "this has changed"
PYTHON
