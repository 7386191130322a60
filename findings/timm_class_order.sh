#!/usr/bin/env bash
# timm numbers the classes of an image folder otherwise than torchvision.
#
# torchvision's ImageFolder, scikit-learn and Hugging Face sort names as text: 1, 10, 2 and Bike, Cup, apple.
# timm.data.create_dataset sorts numbers within names by value and takes no notice of capitals: 1, 2,
# 10 and apple, Bike, Cup. A network trained by timm's script and evaluated with ImageFolder on the
# same folders answers with the wrong classes, without an error. Expected: one order. Where
# folders lie within those of the classes, timm takes the inner ones for the classes, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "torchvision==0.29.1" "timm==1.0.31" \
    "pillow==13.0.0" "numpy==2.4.6"
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from pathlib import Path

import timm
import torchvision
from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

print(f"timm {timm.__version__}, torchvision {torchvision.__version__}")


def classes(case, folders):
    root = Path(sys.argv[1], case)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / folder / "image.png")
    one, other = ImageFolder(str(root)), create_dataset("", str(root)).reader
    found = [sorted(each, key=each.get) for each in (one.class_to_idx, other.class_to_idx)]
    print(f"{case}: torchvision {found[0]}, timm {found[1]}")
    return found


numbers = classes("numbers", ["1", "2", "10"])
capitals = classes("capitals", ["Bike", "Cup", "apple"])
folders = classes("folders in folders", ["cat/studio", "cat/phone", "dog/phone"])
assert numbers == [["1", "10", "2"], ["1", "2", "10"]], "this has changed"
assert capitals == [["Bike", "Cup", "apple"], ["apple", "Bike", "Cup"]], "this has changed"
assert folders == [["cat", "dog"], ["phone", "studio"]], "this has changed"
PYTHON
