#!/usr/bin/env bash
# The training split of VisDA in Hugging Face's image folder holds images of the validation split.
#
# datasets.load_dataset("imagefolder", data_dir=...) reads train/CLASS and validation/CLASS as two
# splits with labels. Where a class is called "train", as in VisDA-2017, DomainNet and CIFAR-100,
# validation/train goes into both splits: a source of training images has labelled images of the
# target. A class "test_tube" moves train/test_tube into the test split, where the images of
# test/test_tube then are twice; without a folder "test", it makes a test split of training images.
# Nothing is said. Expected: the outermost folder of a file names its split, or an error. Given
# data_files={"train": "train/**", "validation": "validation/**"}, each split is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "datasets==5.2.0" "pillow==13.0.0" "numpy==2.4.6"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from collections import Counter
from pathlib import Path

import datasets
from PIL import Image

print(f"datasets {datasets.__version__}")
datasets.disable_progress_bars()


def load(name, counts, classes, **options):
    """Write so many images of each class into each split; count those loaded by their folder."""
    folder = Path(sys.argv[1], name)
    for split, count in counts.items():
        for file in (f"{split}/{each}/{i}.jpg" for each in classes for i in range(count)):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(folder / file)
    data = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), cache_dir=f"{sys.argv[1]}/cache", **options
    )
    found = {}
    for split, rows in data.items():
        images = rows.cast_column("image", datasets.Image(decode=False))["image"]
        tops = Counter(Path(each["path"]).relative_to(folder).parts[0] for each in images)
        found[split] = dict(sorted(tops.items()))
    print(f"{name} -> " + "; ".join(f"split {k}: images of folder {v}" for k, v in found.items()))
    return found


visda = ["bus", "train", "truck"]
by_folder = {"train": "train/**", "validation": "validation/**"}
found = [
    load("VisDA, 4 + 2 images per class", {"train": 4, "validation": 2}, visda),
    load("VisDA by data_files", {"train": 4, "validation": 2}, visda, data_files=by_folder),
    load("a class test_tube", {"train": 4, "test": 2}, ["bottle", "cup", "test_tube"]),
    load("no test folder", {"train": 4}, ["bottle", "cup", "test_tube"]),
]
expected = [
    {"train": {"train": 12, "validation": 2}, "validation": {"validation": 6}},
    {"train": {"train": 12}, "validation": {"validation": 6}},
    {"train": {"train": 12}, "test": {"test": 8, "train": 4}},
    {"train": {"train": 12}, "test": {"train": 4}},
]
assert found == expected, "this has changed"
PYTHON
