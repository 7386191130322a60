#!/usr/bin/env bash
# Of VisDA's twelve classes Hugging Face's image folder loads one, and without labels.
#
# datasets.load_dataset("imagefolder", data_dir=...) reads a folder for each class, as torchvision's
# ImageFolder does. One of VisDA-2017's twelve classes is "train", as in DomainNet and CIFAR-100. A
# folder of that name anywhere is taken for the split of that name, and all other folders are left
# out; as the rest lies in one folder, there are no labels either. Nothing is said. Expected: 12
# classes, or an error. A file called "train 1.jpg" among others has the same effect, and so have
# "test", "val", "dev" and "eval". Given data_files={"train": "FOLDER/**"}, all are there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "datasets==5.2.0" "pillow==13.0.0" "numpy==2.4.6"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from pathlib import Path

import datasets
from PIL import Image

print(f"datasets {datasets.__version__}")
datasets.disable_progress_bars()
VISDA = "aeroplane bicycle bus car horse knife motorcycle person plant skateboard train truck".split()


def fill(name, files):
    folder = Path(sys.argv[1], name)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / file)
    return folder


def load(**where):
    data = datasets.load_dataset("imagefolder", cache_dir=f"{sys.argv[1]}/cache", **where)
    return {
        split: (len(rows), len(rows.features["label"].names) if "label" in rows.features else 0)
        for split, rows in data.items()
    }


visda = fill("visda", [f"{name}/{i}.jpg" for name in VISDA for i in range(3)])
without = fill("without", [f"{name}/{i}.jpg" for name in VISDA if name != "train" for i in range(3)])
photos = fill("photos", ["bus/1.jpg", "bus/train 1.jpg", "plant/1.jpg", "plant/2.jpg"])
found = {
    "12 classes of 3 images": load(data_dir=str(visda)),
    "11 classes, without 'train'": load(data_dir=str(without)),
    "2 classes, one file 'train 1.jpg' among 4": load(data_dir=str(photos)),
    "12 classes by data_files": load(data_files={"train": f"{visda}/**"}),
}
for name, splits in found.items():
    text = ", ".join(f"{k}: {rows} images of {classes} classes" for k, (rows, classes) in splits.items())
    print(f"{name} -> {text}")
expected = [{"train": (3, 0)}, {"train": (33, 11)}, {"train": (1, 0)}, {"train": (36, 12)}]
assert list(found.values()) == expected, "this has changed"
PYTHON
